"""What values of a recipe must be together, each rule with what to do about it."""

from collections.abc import Iterator

from audiotag.errors import RecipeError
from audiotag.recipe_sections import (
    BACKBONE,
    AugmentRecipe,
    FeaturesRecipe,
    ModelRecipe,
    OptimRecipe,
    Recipe,
    TrainRecipe,
)


def check_recipe(recipe: Recipe) -> None:
    """Look at the values of all sections together.

    Raises:
        RecipeError: If some exclude each other.
    """
    for problem in _problems(recipe):
        raise RecipeError(f"recipe: {problem}")


def _problems(recipe: Recipe) -> Iterator[str]:
    yield from _model(recipe.model, recipe.features)
    yield from _data(recipe)
    yield from _augment(recipe.augment)
    yield from _optim(recipe.optim, recipe.train)
    yield from _train(recipe.train)
    if recipe.distill is not None and not recipe.distill.teacher:
        yield "distill.teacher must name a model folder or Hub id"
    if recipe.distill is not None and recipe.augment.mixup_alpha:
        yield "augment.mixup_alpha blends labels, which a teacher does not; use augment.mix_prob"


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
    if model.freeze and model.init is None and not model.pretrained:
        yield "model.freeze would keep random weights; give model.init or model.pretrained"


def _data(recipe: Recipe) -> Iterator[str]:
    if min(recipe.data.crop_seconds) <= 0:
        yield "data.crop_seconds must be above 0"
    if recipe.data.balance_offset and not recipe.data.balance:
        yield "data.balance_offset does nothing without data.balance"


def _augment(augment: AugmentRecipe) -> Iterator[str]:
    for name in ("speed", "mix_db", "noise_db"):
        low, high = getattr(augment, name)
        if low > high:
            yield f"augment.{name} must be the lower value, then the higher, got [{low}, {high}]"
    if augment.speed[0] <= 0:
        yield f"augment.speed must be above 0, got {augment.speed[0]}"
    for axis in ("time", "mel"):
        count, width = getattr(augment, f"{axis}_masks"), getattr(augment, f"{axis}_width")
        if bool(count) != bool(width):
            yield f"augment.{axis}_masks and augment.{axis}_width need each other"


def _optim(optim: OptimRecipe, train: TrainRecipe) -> Iterator[str]:
    if optim.min_lr > optim.lr:
        yield f"optim.min_lr ({optim.min_lr}) is above optim.lr ({optim.lr})"
    if optim.warmup_epochs > train.epochs:
        yield f"optim.warmup_epochs ({optim.warmup_epochs}) is above train.epochs ({train.epochs})"
    if not all(0 <= beta < 1 for beta in optim.betas):
        yield f"optim.betas must be 0 or more and below 1, got {list(optim.betas)}"
    if optim.layer_decay == 0:
        yield "optim.layer_decay must be above 0; freeze layers with model.freeze"


def _train(train: TrainRecipe) -> Iterator[str]:
    if train.micro_batch is not None and train.batch_size % train.micro_batch:
        yield (
            f"train.batch_size ({train.batch_size}) must be a multiple of "
            f"train.micro_batch ({train.micro_batch})"
        )
