"""Which clips of a data set a run was trained on, and how long; which it was validated on."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from audiotag.data.dataset import ClipDataset, read_splits
from audiotag.data.shards import hash_keys
from audiotag.errors import DataError, RecipeError
from audiotag.models.folder import RECIPE_FILE
from audiotag.models.provenance import Part, Share, read_trained_on

VALID, EVAL = "valid", "eval"  # splits


def validation_part(folder: Path, data: Path) -> tuple[str | None, int | None, Share | None]:
    """Split, fold and share to measure a model on: those that its run was validated on, if the data
    set has exactly these clips; else the split "valid", or "eval" where only that is there, as in
    AudioSet.

    Args:
        folder: A model folder, a run folder, or an `.onnx` file, which does not name its run.
        data: A prepared data set.

    Raises:
        ModelError: If the folder's `data.json` is damaged.
    """
    trained_on = read_trained_on(folder)
    if trained_on is not None and find_clips(trained_on.valid, data) is not None:
        return trained_on.valid.split, trained_on.valid.fold, trained_on.valid.share
    splits = read_splits(data)
    return EVAL if EVAL in splits and VALID not in splits else VALID, None, None


def count_learnt(folder: Path, data: Path, keys: Iterable[str]) -> int:
    """How many clips with these keys a run was trained on; 0 if its folder does not say, or if it
    was trained on other clips than the data set's.

    Raises:
        ModelError: If the folder's `data.json` is damaged.
    """
    trained_on = read_trained_on(folder)
    learnt = None if trained_on is None else find_clips(trained_on.train, data)
    return 0 if learnt is None else len(set(learnt.keys.tolist()).intersection(keys))


def read_crops(folder: Path) -> tuple[float, float] | None:
    """Seconds of the shortest and the longest crop that a run was trained on; None where its folder
    does not say.

    Raises:
        RecipeError: If the folder's recipe is damaged.
    """
    path = folder / RECIPE_FILE
    if not path.is_file():
        return None
    try:
        crops = tomllib.loads(path.read_text(encoding="utf-8"))["data"]["crop_seconds"]
        return float(min(crops)), float(max(crops))
    except KeyError:
        return None
    except (ValueError, TypeError) as error:
        raise RecipeError(f"recipe {path} cannot be read ({error}); delete it") from error


def find_clips(part: Part, data: Path) -> ClipDataset | None:
    """The clips of a data set that a part of a run's data names; None if they are not the same."""
    try:
        clips = ClipDataset(data, part.split, part.fold, part.without_fold, part.share)
    except DataError:  # it has no such split or fold
        return None
    return clips if hash_keys(clips.keys.tolist()) == part.keys else None
