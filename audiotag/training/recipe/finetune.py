"""The recipe that adapts a trained model to new labels, for about fifty to ten thousand clips.

The fewer clips there are, the more often each is seen. Layers near the input, which are trained
already, learn more slowly than the new head.
"""

import math
import statistics
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from audiotag.data.dataset import ClipDataset
from audiotag.models.folder import RECIPE_FILE
from audiotag.training.recipe.sections import PROBE, Recipe
from audiotag.training.recipe.toml import LARGEST, override, parse_recipe, read_values

FULL, AUTO = "full", "auto"
METHODS = (AUTO, PROBE, FULL)
SECTIONS = """
[augment]
gain_db = 6.0
speed_prob = 0.5
speed = [0.8, 1.25]

[optim]
lr = 1e-3
layer_decay = 0.9
clip_grad = 1.0

[train]
label_smoothing = 0.0
final = "best"
task = "auto"
"""
EPOCHS_OF_ONE = 800  # epochs fall with the square root of the number of clips
EPOCHS = (5, 100)  # fewest and most
BATCH_SIZE, LARGE_BATCH_SIZE = 16, 64
LARGE_SET = 4000  # clips from which batches are large
WARMUP = 0.1  # of the epochs
VALIDATIONS = 10  # of a run
PATIENCE = 4  # validations without a better one that end the run
SHORTEST_CROP, LONGEST_CROP = 2.0, 10.0  # seconds
# After the probe: small steps, so that layers change only as far as that helps.
PROBE_VALUES = {"model.head": '"probe"', "optim.lr": "3e-4"}
PROBE_EPOCHS = 0.3  # times the epochs for a new head


def finetune_recipe(
    model: str,
    durations: Sequence[float],
    overrides: Iterable[str] = (),
    shortest: float = SHORTEST_CROP,
    method: str = FULL,
) -> Recipe:
    """The recipe for adapting a trained model to a labelled set.

    Args:
        model: Model folder, Hub id, name or "default".
        durations: Seconds of each training clip.
        overrides: As for `recipe.load_recipe`.
        shortest: Shortest input of the model in seconds; crops are not shorter.
        method: One of `METHODS`.

    Raises:
        RecipeError: If a key or a value does not fit.
    """
    values: dict[str, Any] = {"model": {"init": model}, **tomllib.loads(SECTIONS)}
    if method != FULL:
        override(values, (f"{key}={value}" for key, value in PROBE_VALUES.items()))
    if method == PROBE:
        values["train"]["epochs"] = 0
    override(values, overrides)
    train, optim = values["train"], values["optim"]
    share = 1.0 if method == FULL else PROBE_EPOCHS
    epochs = round(share * EPOCHS_OF_ONE / math.sqrt(len(durations)))
    train.setdefault("epochs", _clamp(epochs, EPOCHS))
    large = len(durations) >= LARGE_SET
    train.setdefault("batch_size", LARGE_BATCH_SIZE if large else BATCH_SIZE)
    epochs = train["epochs"]
    if isinstance(epochs, int) and abs(epochs) <= LARGEST:  # else the recipe refuses it by name
        optim.setdefault("warmup_epochs", epochs * WARMUP)
        train.setdefault("save_every", max(1, epochs // VALIDATIONS))
    train.setdefault("patience", PATIENCE)
    data = values.setdefault("data", {})
    data.setdefault("negatives", True)
    data.setdefault("crop_seconds", [_crop(durations, shortest)])
    return parse_recipe(values)


def _crop(durations: Sequence[float], shortest: float) -> float:
    """Seconds of a crop: the median of the clips, rounded up, and at least the model's shortest."""
    median = float(math.ceil(statistics.median(durations)))
    return max(shortest, min(median, LONGEST_CROP))


def training_durations(folder: Path, overrides: Iterable[str] = ()) -> Sequence[float]:
    """Seconds of each clip of a data set that a recipe with these changes trains on.

    Raises:
        RecipeError: If a key or a value does not fit.
        DataError: If the folder is not a prepared data set or has no such clips.
    """
    section = override({}, overrides).get("data", {})
    data = parse_recipe({"data": section}).data
    if data.valid_fold is not None:
        return ClipDataset(folder, without_fold=data.valid_fold).durations.tolist()
    return ClipDataset(folder, data.train_split).durations.tolist()


def resumed_recipe(run: Path, model: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe of a run folder, with the changes on the command line that resumes it.

    `loop.train` refuses changes of the values that the run began with.

    Args:
        run: The run folder.
        model: The model on the command line.
        overrides: The changes on the command line.

    Raises:
        RecipeError: If there is no recipe, or a key or a value does not fit.
    """
    values = read_values(run / RECIPE_FILE)
    if isinstance(values.setdefault("model", {}), dict):  # else the recipe refuses it by name
        values["model"]["init"] = model
    return parse_recipe(override(values, overrides))


def _clamp(value: float, limits: tuple[float, float]) -> Any:
    return min(max(value, limits[0]), limits[1])
