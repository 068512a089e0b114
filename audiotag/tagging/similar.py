"""Search by example: which windows of stored embeddings are nearest to a recording's?

Nearness is the cosine of the angle between two embeddings, 1 for the same sound. All windows are
compared, by matrix products; nothing is indexed, so nothing is missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from audiotag.audio.excerpts import LONGEST, excerpt
from audiotag.audio.in_memory import Samples, Sound
from audiotag.audio.sources import Listening
from audiotag.audio.windows import WINDOW
from audiotag.errors import AudioError, DataError
from audiotag.models.engine import Engine
from audiotag.models.folder import DEFAULT_NAME
from audiotag.tagging.embeddings import made_with
from audiotag.tagging.stored_embeddings import StoredEmbeddings
from audiotag.tagging.tag import TagOptions, embed_file

TINY = 1e-12  # length of an embedding of nothing
AT_ONCE = 2**11  # recordings compared with all others at once


@dataclass(frozen=True)
class Similar:
    """A window that is like the example.

    Attributes:
        path: Its recording.
        start: Seconds.
        end: Seconds.
        similarity: Cosine, from -1 to 1.
    """

    path: str
    start: float
    end: float
    similarity: float


def model_of(stored: StoredEmbeddings) -> str | None:
    """The model that embeddings were made with, as `open_engine` takes it."""
    name = str(stored.made.values["model"])
    return None if name == DEFAULT_NAME else name


def embed_example(
    engine: Engine,
    stored: StoredEmbeddings,
    path: Path,
    start: float = 0.0,
    end: float | None = None,
) -> np.ndarray:
    """Embeddings of an example (windows, D), made as the stored ones.

    Raises:
        AudioError: If it cannot be decoded, or the part is longer than `LONGEST`.
        DataError: If the model is another one than that of the stored embeddings.
    """
    values = stored.made.values
    names = ("window", "hop", "track", "channel")
    options = TagOptions(**{name: values[name] for name in names if values.get(name) is not None})
    now = made_with(engine, options).values
    if now.get("weights_sha256") != values.get("weights_sha256"):
        raise DataError(
            f"{stored.source} was made with the model {values['model']}, and {engine.name} has "
            "other weights; name that model with --model, or embed the recordings again"
        )
    if not start and end is None:
        return embed_file(engine, path, options).windows
    part = _part(path, start, np.inf if end is None else end, options)
    return embed_file(engine, part, replace(options, track=None, channel=None)).windows


def nearest(
    stored: StoredEmbeddings, example: np.ndarray, top: int, each: bool = False
) -> list[Similar]:
    """The stored windows that are nearest to any window of an example, the nearest first.

    Args:
        stored: The stored embeddings.
        example: (windows, D).
        top: How many.
        each: Whether only the best window of each recording counts.

    Raises:
        DataError: If the stored file is damaged, or its embeddings have another size.
    """
    wanted = _normal(example).T  # (D, windows)
    files, starts, scores = np.empty(0, int), np.empty(0), np.empty(0, np.float32)
    for some_files, some_starts, windows in stored.blocks():
        if windows.shape[1] != len(wanted):
            raise DataError(
                f"{stored.source} has embeddings of {windows.shape[1]} numbers, and the model "
                f"gives {len(wanted)}; name the model that they were made with by --model"
            )
        some = _cosines(windows, wanted)
        is_number = np.isfinite(some)
        files = np.append(files, some_files[is_number])
        starts = np.append(starts, some_starts[is_number])
        scores = np.append(scores, some[is_number])
        kept = np.argsort(-scores, kind="stable")
        if each:
            first = np.unique(files[kept], return_index=True)[1]
            kept = kept[np.sort(first)]
        kept = kept[:top]
        files, starts, scores = files[kept], starts[kept], scores[kept]
    length = stored.made.values.get("window") or WINDOW
    ends = np.minimum(starts + length, stored.durations[files])
    return [
        Similar(stored.paths[file], float(start), float(end), float(score))
        for file, start, end, score in zip(files, starts, ends, scores, strict=True)
    ]


def duplicates(stored: StoredEmbeddings, least: float) -> Iterator[tuple[str, str, float]]:
    """Pairs of recordings whose embeddings are almost the same, with their similarity.

    Args:
        stored: The stored embeddings.
        least: The least cosine of the means of their windows.

    Raises:
        DataError: If the stored file is damaged.
    """
    clips = _normal(stored.clips())
    for begin in range(0, len(clips), AT_ONCE):
        scores = clips[begin : begin + AT_ONCE] @ clips.T
        for i, j in np.argwhere(scores >= least).tolist():
            if begin + i < j:
                yield stored.paths[begin + i], stored.paths[j], float(scores[i, j])


def _part(path: Path, start: float, end: float, options: TagOptions) -> Sound:
    """A part of an example, of the track and channel that are heard."""
    part = excerpt(path, start, end, Listening(options.track, options.channel))
    if end - start > LONGEST and len(part.samples) >= LONGEST * part.rate:
        raise AudioError(
            f"{path}: a part of an example may last {LONGEST:g} s; name its end by --end"
        )
    return Sound(str(path), Samples(part.rate, np.ascontiguousarray(part.samples.T)))


def _cosines(windows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The highest cosine of each window (N, D) with vectors of length 1, (D, K); not finite of
    one that is no number."""
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", windows, windows))
        return (windows @ wanted).max(axis=1) / np.maximum(lengths, TINY)


def _normal(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, D) of length 1; what is no number is 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    return finite / np.maximum(np.linalg.norm(finite, axis=1, keepdims=True), TINY)
