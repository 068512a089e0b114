"""A teacher's scores of clips, read from files of `audiotag evaluate --scores`."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from audiotag.data.dataset import ClipDataset
from audiotag.errors import DataError
from audiotag.label_set import Labels

ARRAYS = ("keys", "labels", "scores")
SOUNDS = "sounds"  # an array that files of older versions lack
SUM_TOLERANCE = 1e-4  # of the scores of a clip from 1, where they are those of softmax


@dataclass(frozen=True, eq=False)
class StoredScores:
    """Scores of clips by their keys.

    Attributes:
        files: The files they were read from, for messages.
        labels: The classes.
        places: Row of each clip.
        sounds: Hash of each row's sound, as `ClipDataset.sounds`; empty where an older version
            wrote a file.
        values: Scores in [0, 1], (N, classes).
    """

    files: str
    labels: Labels
    places: dict[str, int]
    sounds: list[str]
    values: np.ndarray

    def of(self, clips: ClipDataset) -> np.ndarray:
        """Scores (clips, classes) of clips.

        Raises:
            DataError: If a clip has none, or sounded otherwise when it was scored.
        """
        wanted = clips.keys.tolist()
        missing = [key for key in wanted if key not in self.places]
        if missing:
            raise DataError(
                f"{self.files}: no scores of {len(missing)} of {len(wanted)} clips, {missing[0]} "
                "first; write them with audiotag evaluate TEACHER DATA --split S --scores FILE.npz"
            )
        rows = [self.places[key] for key in wanted]
        found = zip(wanted, rows, clips.sounds, strict=True)
        others = [key for key, row, sound in found if self.sounds[row] not in ("", sound)]
        if others:
            raise DataError(
                f"{self.files}: {len(others)} of {len(wanted)} clips, {others[0]} first, sounded "
                f"otherwise when they were scored; score those of {clips.folder} with audiotag "
                "evaluate TEACHER DATA --split S --scores FILE.npz"
            )
        return self.values[rows]


def read_scores(paths: Sequence[str]) -> StoredScores:
    """The scores of all clips in some files.

    Raises:
        DataError: If a file cannot be read, has other labels than the first, or holds the scores
            of a softmax.
    """
    files = ", ".join(paths)
    keys, labels, values, sounds = zip(*(_read(path) for path in paths), strict=True)
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
    return StoredScores(files, _labels(labels[0]), places, list(chain(*sounds)), scores)


def _read(path: str) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    """Keys, labels, scores and hashes of sounds in a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            keys, labels, scores = (file[name] for name in ARRAYS)
            sounds = file[SOUNDS] if SOUNDS in file else np.full(len(keys), "")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as scores ({error}); write it with audiotag evaluate --scores"
        ) from error
    if scores.shape != (len(keys), len(labels)) or len(sounds) != len(keys):
        raise DataError(
            f"{path}: {scores.shape} scores are not those of {len(keys)} clips and {len(labels)} "
            "labels; write it again with audiotag evaluate --scores"
        )
    return keys.tolist(), labels.tolist(), scores, sounds.tolist()


def _labels(names: Sequence[str]) -> Labels:
    """Labels with these names; AudioSet's own, with machine ids, if they are the same."""
    audioset = Labels.audioset()
    return audioset if audioset.names == tuple(names) else Labels(names)
