"""Cross-validation: a run for each fold of a data set, measured on all its clips.

`evaluation.folds` describes its folder.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from audiotag.data.dataset import read_folds
from audiotag.errors import DataError
from audiotag.evaluation.folds import score_folds
from audiotag.evaluation.measurement import measure
from audiotag.evaluation.scoring import Scores
from audiotag.evaluation.summary import summarise
from audiotag.models.evaluation_record import Evaluation
from audiotag.models.folder import RECIPE_FILE
from audiotag.runtime.distributed import joined_processes
from audiotag.training.loop import train
from audiotag.training.recipe.sections import Recipe


@dataclass(frozen=True)
class CrossValidation:
    """The figures of a cross-validation.

    Attributes:
        folds: Those of each fold's clips, without intervals.
        whole: Those of all clips.
    """

    folds: tuple[Evaluation, ...]
    whole: Evaluation


def cross_validate(
    recipe: Recipe, data: Path, out: Path, device: torch.device, resume: bool = False
) -> CrossValidation | None:
    """For each fold, train on all others; then measure all clips, and store the figures.

    Arguments and errors are those of `train_folds`.

    Returns:
        The figures. If torchrun started several processes, None in all except the first.
    """
    train_folds(recipe, data, out, device, resume)
    with joined_processes() as rank:
        parts = score_folds(out, data, device.type)
    if rank:
        return None
    whole = summarise(measure(Scores.join(parts)))
    whole.save(out)
    return CrossValidation(tuple(summarise(measure(part, 0)) for part in parts), whole)


def train_folds(
    recipe: Recipe, data: Path, out: Path, device: torch.device, resume: bool = False
) -> Path:
    """For each fold, train on all others.

    Args:
        recipe: The recipe; its `data.valid_fold` is replaced by each fold in turn.
        data: A prepared data set with folds.
        out: Folder of the runs.
        device: Where to train.
        resume: Resume the runs that were started.

    Returns:
        `out`.

    Raises:
        RecipeError, DataError, ModelError: As `training.train`, or if the data have no two folds.
    """
    folds = read_folds(data)
    if len(folds) < 2:
        raise DataError(
            f"{data} has {len(folds)} folds, and cross-validation takes two or more; prepare csv "
            "reads them from the column fold"
        )
    for fold in folds:
        run = out / f"fold{fold}"
        of_fold = replace(recipe, data=replace(recipe.data, valid_fold=fold))
        train(of_fold, data, run, device, resume and (run / RECIPE_FILE).exists())
    return out
