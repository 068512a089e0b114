"""A teacher's scores of clips, read from files of `audiotag evaluate --scores`."""

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from audiotag.errors import DataError
from audiotag.label_set import Labels

ARRAYS = ("keys", "labels", "scores")
SUM_TOLERANCE = 1e-4  # how far the sum of a clip's softmax scores may be from 1


@dataclass(frozen=True, eq=False)
class StoredScores:
    """Scores of clips by their keys.

    Attributes:
        files: The files they were read from, for messages.
        labels: The classes.
        places: Row of each clip.
        values: Scores in [0, 1], (N, classes).
    """

    files: str
    labels: Labels
    places: dict[str, int]
    values: np.ndarray

    def of(self, keys: Iterable[str]) -> np.ndarray:
        """Scores (clips, classes) of clips.

        Raises:
            DataError: If a clip has no scores.
        """
        wanted = [str(key) for key in keys]
        missing = [key for key in wanted if key not in self.places]
        if missing:
            raise DataError(
                f"{self.files}: no scores of {len(missing)} of {len(wanted)} clips, {missing[0]} "
                "first; write them with audiotag evaluate TEACHER DATA --split S --scores FILE.npz"
            )
        return self.values[[self.places[key] for key in wanted]]


def read_scores(paths: Sequence[str]) -> StoredScores:
    """The scores of all clips in some files.

    Raises:
        DataError: If a file cannot be read, has other labels than the first, or holds the scores
            of a softmax.
    """
    files = ", ".join(paths)
    keys, labels, values = zip(*(_read(path) for path in paths), strict=True)
    for path, names in zip(paths, labels, strict=True):
        if names != labels[0]:
            raise DataError(f"{path} has other labels than {paths[0]}; give one teacher's scores")
    scores = np.concatenate(values)
    if scores.shape[1] > 1 and (abs(scores.sum(1) - 1) < SUM_TOLERANCE).all():
        raise DataError(
            f"{files}: the scores of each clip add up to 1, as those of a model that gives it one "
            'label; take a teacher that was trained with train.task = "multi"'
        )
    places = {key: row for row, key in enumerate(key for part in keys for key in part)}
    return StoredScores(files, _labels(labels[0]), places, scores)


def _read(path: str) -> tuple[list[str], list[str], np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            keys, labels, scores = (file[name] for name in ARRAYS)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as scores ({error}); write it with audiotag evaluate --scores"
        ) from error
    if scores.shape != (len(keys), len(labels)):
        raise DataError(
            f"{path}: {scores.shape} scores are not those of {len(keys)} clips and {len(labels)} "
            "labels; write it again with audiotag evaluate --scores"
        )
    return keys.tolist(), labels.tolist(), scores


def _labels(names: Sequence[str]) -> Labels:
    """Labels with these names; AudioSet's own, with machine ids, if they are the same."""
    audioset = Labels.audioset()
    return audioset if audioset.names == tuple(names) else Labels(names)
