"""Rules between the values of a recipe, each with the remedy."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audiotag.errors import RecipeError
from audiotag.training.recipe.sections import (
    BACKBONE,
    PROBE,
    AugmentRecipe,
    DistillRecipe,
    FeaturesRecipe,
    ModelRecipe,
    OptimRecipe,
    Recipe,
    TrainRecipe,
)

LONGEST_CROP = 600.0  # s
MAX_DB = 100.0  # louder or softer
# Values that may change when a run is resumed: use of memory, what is saved, where it is logged.
FREE_WHEN_RESUMED = {
    ("train", "micro_batch"),
    ("train", "save_steps"),
    ("train", "keep"),
    ("train", "wandb_project"),
}


def check_recipe(recipe: Recipe) -> None:
    """Check the values of all sections together.

    Raises:
        RecipeError: If some exclude each other.
    """
    for problem in _problems(recipe):
        raise RecipeError(f"recipe: {problem}")


def check_resumed(run: Path, original: Recipe, recipe: Recipe) -> None:
    """Check the recipe that a run is to be resumed with.

    Raises:
        RecipeError: If values other than `FREE_WHEN_RESUMED` differ from those the run began with.
    """
    before, now = dict(_values(asdict(original))), dict(_values(asdict(recipe)))
    differing = [key for key in before | now if before.get(key) != now.get(key)]
    changes = [
        f"{'.'.join(key)} = {now.get(key)} (it began with {before.get(key)})" for key in differing
    ]
    if not FREE_WHEN_RESUMED.issuperset(differing):
        raise RecipeError(
            f"the run in {run} is resumed as it began, not with {', '.join(changes)}; "
            "leave that out, or choose another --out"
        )


def _values(
    table: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of nested tables, each with the keys that lead to it."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _values(value, (*path, key))
        else:
            yield (*path, key), value


def _problems(recipe: Recipe) -> Iterator[str]:
    yield from _model(recipe.model, recipe.features)
    yield from _head(recipe)
    yield from _data(recipe)
    yield from _augment(recipe.augment)
    yield from _optim(recipe.optim, recipe.train)
    yield from _train(recipe.train)
    if recipe.distill is not None:
        yield from _distill(recipe.distill, recipe.train, recipe.augment)


def _model(model: ModelRecipe, features: FeaturesRecipe) -> Iterator[str]:
    if model.init is not None:
        if (model.architecture, model.args) != (ModelRecipe().architecture, {}):
            yield f"model.init is {model.init}, an architecture of its own; leave out " + (
                "model.args" if model.args else "model.architecture"
            )
        if features != FeaturesRecipe():
            yield f"model.init is {model.init}, which has a front end; leave out [features]"
        if model.pretrained:
            yield "model.init and model.pretrained are two starts; leave out one"
    if isinstance(model.freeze, str) and model.freeze != BACKBONE:
        yield f"model.freeze must be {BACKBONE!r} or a number of stages, got {model.freeze!r}"
    if isinstance(model.freeze, int) and model.freeze < 0:
        yield f"model.freeze must be 0 or more, got {model.freeze}"
    if model.keep_labels and (model.init is None or model.head != PROBE):
        yield 'model.keep_labels needs model.init and model.head = "probe"'
    if model.head == PROBE and model.init is None and not model.pretrained:
        yield 'model.head = "probe" needs trained weights; give model.init or model.pretrained'
    if model.freeze and model.init is None and not model.pretrained:
        yield "model.freeze would keep random weights; give model.init or model.pretrained"


def _head(recipe: Recipe) -> Iterator[str]:
    """Problems with `model.head` and `model.keep_labels`."""
    model, train = recipe.model, recipe.train
    if train.epochs == 0 and model.head != PROBE:
        yield 'train.epochs = 0 leaves a random head; raise it, or set model.head = "probe"'
    if model.head == PROBE and recipe.distill is not None:
        yield 'model.head = "probe" learns labels, and [distill] a teacher; leave out one'
    if model.keep_labels and train.task == "single":
        yield 'model.keep_labels scores each label by itself; leave out train.task = "single"'
    if model.keep_labels and model.freeze == BACKBONE and train.epochs:
        yield (
            "model.keep_labels with a frozen backbone has nothing to train but the labels that are "
            "to be kept; set train.epochs to 0"
        )


def _data(recipe: Recipe) -> Iterator[str]:
    if min(recipe.data.crop_seconds) <= 0:
        yield "data.crop_seconds must be above 0"
    if recipe.data.valid_percent is not None and recipe.data.valid_fold is not None:
        yield "data.valid_percent and data.valid_fold are two validation parts; leave out one"
    if max(recipe.data.crop_seconds) > LONGEST_CROP:
        yield f"data.crop_seconds must be {LONGEST_CROP:g} at most"
    if recipe.data.balance_offset and not recipe.data.balance:
        yield "data.balance_offset does nothing without data.balance"


def _augment(augment: AugmentRecipe) -> Iterator[str]:
    pairs = "speed", "mix_db", "reverb_seconds", "reverb_db", "noise_db", "noise_slope", "quiet_db"
    for name in pairs:
        low, high = getattr(augment, name)
        if low > high:
            yield f"augment.{name} must be the lower value, then the higher, got [{low}, {high}]"
        if name.endswith("_db") and max(-low, high) > MAX_DB:
            yield f"augment.{name} must lie between -{MAX_DB:g} and {MAX_DB:g} dB"
    for name in ("speed", "reverb_seconds"):
        if getattr(augment, name)[0] <= 0:
            yield f"augment.{name} must be above 0, got {getattr(augment, name)[0]}"
    for axis in ("time", "mel"):
        count, width = getattr(augment, f"{axis}_masks"), getattr(augment, f"{axis}_width")
        if bool(count) != bool(width):
            yield f"augment.{axis}_masks and augment.{axis}_width need each other"


def _optim(optim: OptimRecipe, train: TrainRecipe) -> Iterator[str]:
    if optim.min_lr > optim.lr:
        yield f"optim.min_lr ({optim.min_lr}) is above optim.lr ({optim.lr})"
    if optim.halve_after is not None and optim.halve_after >= train.epochs > 0:
        yield (
            f"optim.halve_after ({optim.halve_after}) does nothing in {train.epochs} epochs; leave "
            "it out"
        )
    if optim.warmup_epochs > train.epochs:
        yield f"optim.warmup_epochs ({optim.warmup_epochs}) is above train.epochs ({train.epochs})"
    if not all(0 <= beta < 1 for beta in optim.betas):
        yield f"optim.betas must be 0 or more and below 1, got {list(optim.betas)}"
    if optim.layer_decay == 0:
        yield "optim.layer_decay must be above 0; freeze layers with model.freeze"


def _distill(distill: DistillRecipe, train: TrainRecipe, augment: AugmentRecipe) -> Iterator[str]:
    if not distill.teacher and not distill.scores:
        yield (
            "distill.teacher must name a model (folder, Hub id or name), or distill.scores files "
            "that audiotag evaluate --scores wrote"
        )
    if distill.teacher and distill.scores:
        yield "distill.teacher and distill.scores are two teachers; leave out one"
    if distill.other_teachers and not distill.teacher:
        yield "distill.other_teachers go beside a distill.teacher; name one"
    if distill.other_weight != 1 and not distill.other_teachers:
        yield "distill.other_weight does nothing without distill.other_teachers"
    if train.task == "single":
        yield 'a teacher scores each label by itself; leave out train.task = "single"'
    if distill.embedding_weight:
        yield from _more_than_scores("distill.embedding_weight", distill, train, augment)
    if distill.layers:
        yield from _more_than_scores("distill.layers", distill, train, augment)
    elif distill.blockwise_epochs:
        yield "distill.blockwise_epochs does nothing without distill.layers"
    if distill.blockwise_epochs > train.epochs:
        yield (
            f"distill.blockwise_epochs ({distill.blockwise_epochs}) is above train.epochs "
            f"({train.epochs})"
        )


def _more_than_scores(
    key: str, distill: DistillRecipe, train: TrainRecipe, augment: AugmentRecipe
) -> Iterator[str]:
    """Problems with learning a teacher's embeddings or maps."""
    if distill.scores:
        yield f"distill.scores hold only scores; leave out {key}, or give distill.teacher"
    if augment.mixup_alpha:
        yield f"augment.mixup_alpha blends only scores; set it to 0, or leave out {key}"
    if train.compile:
        yield f"train.compile returns only logits; leave it out, or {key}"


def _train(train: TrainRecipe) -> Iterator[str]:
    if train.micro_batch is not None and train.batch_size % train.micro_batch:
        yield (
            f"train.batch_size ({train.batch_size}) must be a multiple of "
            f"train.micro_batch ({train.micro_batch})"
        )
    if train.final.startswith("average") and train.keep < 2:
        yield f"train.final = {train.final!r} is a mean of train.keep weights; set it above 1"
    if train.metric == "valid_accuracy" and train.task == "multi":
        yield 'train.metric = "valid_accuracy" needs train.task = "single"'
