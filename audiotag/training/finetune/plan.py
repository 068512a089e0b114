"""The recipe of a new fine-tuning run, and what it is validated on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from audiotag.data.dataset import ClipDataset, read_splits
from audiotag.models.config import read_config
from audiotag.tagging.locate import model_folder
from audiotag.training.recipe.finetune import (
    AUTO,
    FULL,
    PROBE_VALUES,
    SHORTEST_CROP,
    finetune_recipe,
    training_durations,
)
from audiotag.training.recipe.sections import BACKBONE, PROBE, Recipe
from audiotag.training.recipe.toml import override, parse_recipe
from audiotag.training.setup import ACCURACY, data_parts, labels_of

HELD_OUT = 20  # per cent of the recordings, where the data have no validation part
FEWEST_JUDGES = 30  # validation clips; of fewer none can tell that training beats the probe
OF_TRAINING = ("train.epochs=", "optim.", "augment.")  # who says this wants all layers to learn


def plan(
    model: str,
    data: Path,
    changes: Sequence[str],
    method: str,
    keep: bool,
    tell: Callable[[str], None],
) -> Recipe:
    """The recipe of a new run."""
    part, sentence = _validation_part(data, changes, method)
    if sentence is not None:
        tell(sentence)
    config = read_config(model_folder(model))
    shortest = config.window or max(SHORTEST_CROP, config.min_duration)
    changes = [*part, *changes]
    if keep and method == FULL:
        gentle = [f"{key}={value}" for key, value in PROBE_VALUES.items()]
        changes = [*gentle, 'train.final="last"', *changes]
    durations = training_durations(data, changes)
    recipe = finetune_recipe(model, durations, changes, shortest, method)
    if method == AUTO and not any(change.startswith(OF_TRAINING) for change in changes):
        if recipe.model.freeze == BACKBONE:
            recipe = finetune_recipe(model, durations, changes, shortest, PROBE)
        elif not _can_judge(recipe, data):
            if sentence is None:
                tell(_few_judges(recipe, data))
            recipe = finetune_recipe(model, durations, changes, shortest, PROBE)
    if any(change.startswith("train.metric=") for change in changes):
        return recipe
    return _by_accuracy(recipe, data)


def _validation_part(
    data: Path, changes: Sequence[str], method: str
) -> tuple[list[str], str | None]:
    """Changes of the recipe that say what to validate on, and a sentence on it; none where the data
    set or the changes say it."""
    wanted = parse_recipe({"data": override({}, changes).get("data", {})}).data
    if wanted.valid_fold is not None or wanted.valid_percent is not None:
        return [], None
    clips = ClipDataset(data, wanted.train_split)
    if wanted.valid_split in read_splits(data):
        return [], None
    told, is_few = f"{data} has no split {wanted.valid_split}", len(clips) < FEWEST_JUDGES
    if method == FULL and is_few:
        told = f"{told}, and too few clips to spare some: validated on those that are learnt"
    elif method != FULL:
        told = f"{told}: the probe is cross-validated"
        is_few = method == PROBE or len(clips) * HELD_OUT / 100 < FEWEST_JUDGES
    if is_few:
        return [f'data.valid_split="{wanted.train_split}"'], f"{told}; all {len(clips)} are learnt"
    told = f"{told}; training is validated on {HELD_OUT} % of the recordings"
    return [f"data.valid_percent={HELD_OUT}"], told


def _can_judge(recipe: Recipe, data: Path) -> bool:
    """Whether there are enough clips to validate on, which are not those that are learnt."""
    train_part, valid_part = data_parts(recipe)
    return train_part != valid_part and len(ClipDataset(data, **valid_part)) >= FEWEST_JUDGES


def _few_judges(recipe: Recipe, data: Path) -> str:
    """Why no layer but the head is trained, and how the clips left out can be learnt too."""
    count = len(ClipDataset(data, **data_parts(recipe)[1]))
    return (
        f"validation clips: {count}, too few to tell whether training all layers helps (it takes "
        f"{FEWEST_JUDGES}), so only the head is fitted; to learn from all clips, make the data set "
        "with --valid-percent 0"
    )


def _by_accuracy(recipe: Recipe, data: Path) -> Recipe:
    """The recipe, judged by accuracy where every clip has one label."""
    if recipe.train.task == "multi" or recipe.model.keep_labels:
        return recipe
    labels = labels_of(recipe, data)
    parts = (ClipDataset(data, **part).targets(labels) for part in data_parts(recipe))
    if not all(targets.is_single for targets in parts):
        return recipe
    return replace(recipe, train=replace(recipe.train, metric=ACCURACY))
