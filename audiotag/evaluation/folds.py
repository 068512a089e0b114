"""Folders of several runs: those of a cross-validation, or of a sweep over seeds.

The folder of a cross-validation holds the runs `fold1`, `fold2` and so on. Each clip is scored by
the one run that was not trained on it; together the runs count as one model. A sweep over
`train.seed` only holds one such folder, or one run, for each seed.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from audiotag.data.dataset import read_folds
from audiotag.data.shards import hash_keys
from audiotag.errors import DataError
from audiotag.evaluation.scoring import Scores, score
from audiotag.models.folder import CONFIG_FILE
from audiotag.models.provenance import read_trained_on
from audiotag.tagging.open import open_engine

FOLD = re.compile(r"fold(\d+)")
SEED = re.compile(r"train\.seed=(\d+)")  # names that `training.sweep` gives its folders


def fold_runs(folder: Path) -> dict[int, Path]:
    """The runs of a cross-validation by fold; none if the folder is not one."""
    return _numbered(folder, FOLD)


def seed_runs(folder: Path) -> list[Path]:
    """The runs, or cross-validations, of a sweep over seeds, by seed; none if it is not one."""
    is_sweep = folder.is_dir() and not (folder / CONFIG_FILE).exists()
    return list(_numbered(folder, SEED).values()) if is_sweep else []


def with_seeds(models: Iterable[str]) -> tuple[str, ...]:
    """The models, where each sweep over seeds is replaced by its runs."""
    runs = ((model, [str(run) for run in seed_runs(Path(model))]) for model in models)
    return tuple(name for model, seeds in runs for name in seeds or [model])


def is_cross_validation(folder: Path) -> bool:
    """Whether a folder holds the runs of a cross-validation, and is not a model itself."""
    return folder.is_dir() and bool(fold_runs(folder)) and not (folder / CONFIG_FILE).exists()


def score_folds(
    folder: Path,
    data: Path,
    device: str = "auto",
    batch_size: int = 16,
    precision: str = "fp32",
    engine: str = "torch",
) -> list[Scores]:
    """The scores of each fold's clips, by the run that was not trained on them.

    `Scores.join` joins them.

    Args:
        folder: The folder of a cross-validation.
        data: The data set that it was trained on.
        device: Where to compute.
        batch_size: Clips scored at once.
        precision: As in `open_engine`.
        engine: As in `open_engine`.

    Raises:
        DataError, ModelError: As `scoring.score`, or if a fold has no run, or if the clips that
            its run left out of training are not those of the fold.
    """
    runs, folds = fold_runs(folder), read_folds(data)
    if list(runs) != folds:
        raise DataError(
            f"{folder} has runs of the folds {_listed(runs)}, and {data} the folds "
            f"{_listed(folds)}; finish it with audiotag train --folds --resume"
        )
    parts = []
    for fold, run in runs.items():
        tagger = open_engine(run, device, engine, precision, name=str(folder))
        part = score(tagger, data, fold=fold, batch_size=batch_size)
        _check_unseen(run, part, data)
        parts.append(part)
    return parts


def _check_unseen(run: Path, part: Scores, data: Path) -> None:
    """Raise a DataError if the clips that a run left out of training are not those scored."""
    trained_on = read_trained_on(run)
    if trained_on is not None and trained_on.valid.keys != hash_keys(part.keys):
        raise DataError(
            f"{run} was not trained without the clips of fold {part.fold} of {data}, whose folds "
            "or clips have changed; give the data set that it was cross-validated on"
        )


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Folders by the number in their names, in numerical order."""
    matches = ((pattern.fullmatch(path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def _listed(folds: Iterable[int]) -> str:
    return ", ".join(map(str, folds)) or "none"
