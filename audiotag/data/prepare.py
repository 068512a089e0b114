"""Recordings to a prepared data set: from a folder a class, or from a table."""

import csv
import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from audiotag.audio import AUDIO_EXTENSIONS, read
from audiotag.data.shards import (
    MAX_KEY_BYTES,
    ClipInfo,
    EncodedClip,
    Failure,
    ShardWriter,
    encode_flac,
)
from audiotag.errors import AudioError, DataError

SAMPLE_RATE = 32_000  # Hz
CLIP_SECONDS = 10.0
SILENCE_PEAK = 1e-3  # of full scale, -60 dB
VALID_PERCENT = 20  # of the recordings, where no split is given
LOOK_AHEAD = 4  # recordings a worker, done before they are written


@dataclass(frozen=True)
class Recording:
    """A file, or the part of it from `start` to `end` seconds, and what is known of it."""

    path: Path
    labels: tuple[str, ...] = ()
    split: str | None = None
    fold: int | None = None
    group: str | None = None
    start: float = 0.0
    end: float | None = None


def from_folder(folder: Path) -> list[Recording]:
    """Recordings of a folder with one sub-folder a class.

    Raises:
        DataError: If no sub-folder holds audio files.
    """
    found = [
        Recording(path, (path.relative_to(folder).parts[0],), group=str(path.relative_to(folder)))
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_EXTENSIONS and len(path.relative_to(folder).parts) > 1
    ]
    if not found:
        raise DataError(f"{folder}: no audio files in sub-folders; make one sub-folder a class")
    return found


def from_csv(table: Path) -> list[Recording]:
    """Recordings of a table: path, label (`;` between several), and what else it has of
    split, fold, group, start, end. Paths are relative to the table.

    Raises:
        DataError: If the table cannot be read or lacks a column, or a number is none.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{table} cannot be read: {error}") from error
    missing = {"path", "label"} - set(rows[0] if rows else ())
    if missing:
        raise DataError(f"{table} lacks the column {' and '.join(sorted(missing))}")
    try:
        return [_from_row(row, table.parent) for row in rows]
    except ValueError as error:
        raise DataError(f"{table}: {error} in fold, start or end") from error


def _from_row(row: dict[str, str], folder: Path) -> Recording:
    return Recording(
        folder / row["path"],
        tuple(name.strip() for name in row["label"].split(";") if name.strip()),
        row.get("split") or None,
        int(row["fold"]) if row.get("fold") else None,
        row.get("group") or row["path"],
        float(row.get("start") or 0),
        float(row["end"]) if row.get("end") else None,
    )


def prepare(
    recordings: Iterable[Recording],
    out: Path,
    sample_rate: int = SAMPLE_RATE,
    clip_seconds: float = CLIP_SECONDS,
    workers: int = 2,
) -> Path:
    """Decode recordings, cut them into clips and write a data set.

    Silent clips, duplicates and recordings that cannot be decoded are left out and recorded in
    `failures.jsonl`. A recording without a split goes to "valid" or "train" by a hash of its group.

    Args:
        recordings: What to take.
        out: The new data set's folder.
        sample_rate: Hz.
        clip_seconds: Longer recordings become several clips.
        workers: Threads that decode and encode.

    Returns:
        `out`.

    Raises:
        DataError: If `out` exists.
    """
    recordings = list(recordings)
    with ShardWriter(out, sample_rate) as writer, ThreadPoolExecutor(workers) as pool:
        jobs = ((number, x, sample_rate, clip_seconds) for number, x in enumerate(recordings))
        taken = _ahead(pool, jobs, workers * LOOK_AHEAD)
        for results in tqdm(taken, total=len(recordings), unit="file", disable=None):
            for result in results:
                if isinstance(result, Failure):
                    writer.failures.append(result)
                else:
                    writer.add(result)
    return out


def _ahead(pool: ThreadPoolExecutor, jobs: Iterable[tuple], depth: int) -> Iterator[list]:
    """Results of `_take` in order, computed at most `depth` recordings ahead."""
    pending: deque[Future] = deque()
    for job in jobs:
        pending.append(pool.submit(_take, *job))
        if len(pending) >= depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _take(
    number: int, recording: Recording, sample_rate: int, seconds: float
) -> list[EncodedClip | Failure]:
    """The clips of a recording, encoded, or why it gives none."""
    source = str(recording.path)
    duration = None if recording.end is None else recording.end - recording.start
    try:
        samples = read(recording.path, sample_rate, recording.start, duration)
    except AudioError as error:
        return [Failure(source, str(error))]
    return [
        Failure(source, f"silent from {info.start:.1f} s")
        if np.abs(clip).max() < SILENCE_PEAK
        else EncodedClip(info, encode_flac(clip, sample_rate), len(clip))
        for info, clip in _cut(recording, number, samples, sample_rate, seconds)
    ]


def _cut(
    recording: Recording, number: int, samples: np.ndarray, sample_rate: int, seconds: float
) -> Iterator[tuple[ClipInfo, np.ndarray]]:
    """Consecutive clips (T,) of at most `seconds`; the last may be shorter."""
    step = round(seconds * sample_rate)
    stem = re.sub(r"[^\w-]+", "_", recording.path.stem).encode()[: MAX_KEY_BYTES - 20]
    for piece, first in enumerate(range(0, len(samples), step)):
        clip = samples[first : first + step]
        start = recording.start + first / sample_rate
        info = ClipInfo(
            key=f"{number:08d}_{piece:04d}_{stem.decode(errors='ignore')}",
            labels=recording.labels,
            split=recording.split or _hash_split(recording.group or str(recording.path)),
            fold=recording.fold,
            source=recording.path.name,
            start=start,
            end=start + len(clip) / sample_rate,
        )
        yield info, clip


def _hash_split(group: str) -> str:
    """ "valid" for one group in five, the same on every machine."""
    bucket = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") % 100
    return "valid" if bucket < VALID_PERCENT else "train"
