"""Preparing: recordings become a data set of shards, in steps that survive a kill.

Results (clips and failures) come in the source's order, for any number of threads. A shard ends at
a certain size or number of results. So the same arguments produce the same bytes, also if a run is
resumed after the last part on the disk.
"""

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.audio.helper_pipe import until
from audiotag.data.dataset import ClipDataset
from audiotag.data.encoding import FLAC, decode
from audiotag.data.info import read_info
from audiotag.data.prepare.clips import VALID_PERCENT, Cutter
from audiotag.data.prepare.duplicates import DUPLICATE, Duplicates
from audiotag.data.prepare.files import check_files, note_files, read_files, write_files
from audiotag.data.prepare.merge import merge
from audiotag.data.prepare.parts import (
    FinishedPart,
    clip_rows,
    finished_parts,
    part_name,
    read_rows,
    shard_path,
    write_part,
)
from audiotag.data.prepare.plan import FORMER, PreparationPlan, begin, claimed, is_finished
from audiotag.data.progress import PreparationState
from audiotag.data.recordings import DOUBTFUL, DoubledClip, Failure, Recording, Source
from audiotag.data.shards import SHARD_BYTES, EncodedClip, ShardWriter
from audiotag.runtime.ordered_threads import work_ahead
from audiotag.runtime.shares import WHOLE, Share

SAMPLE_RATE = 32_000  # Hz
CLIP_SECONDS = 10.0
PART_RESULTS = 10_000  # most results of a part: they are held in memory, and lost by a kill


@dataclass(frozen=True)
class _Result:
    """A clip or failure of a recording, and the position after it, as in `FinishedPart.next`."""

    place: tuple[int, int]
    value: EncodedClip | Failure


def prepare(
    source: Source,
    out: Path,
    sample_rate: int = SAMPLE_RATE,
    clip_seconds: float = CLIP_SECONDS,
    shard_bytes: int = SHARD_BYTES,
    limit: int | None = None,
    keep_silence: bool = False,
    keep_duplicates: bool = False,
    encoding: str = FLAC,
    valid_percent: int = VALID_PERCENT,
    workers: int | None = None,
    share: Share = WHOLE,
    report: Callable[[PreparationState], None] = lambda progress: None,
) -> Path:
    """Decode recordings, cut them into clips and write a data set.

    Silent clips, duplicates and what cannot be decoded are left out and recorded in
    `failures.jsonl`, where recordings that are doubtful are too. A recording without a split goes
    to "valid" or "train" by a hash of its group. A run that ended early resumes when it is called
    again with the same arguments, and the data set is the same to the byte; one that is finished is
    left as it is.

    Args:
        source: The recordings.
        out: The data set's folder.
        sample_rate: Hz.
        clip_seconds: Longer recordings become several clips.
        shard_bytes: A shard ends with the clip that reaches it, or after `PART_RESULTS`.
        limit: Number of recordings of the source to use; all if None.
        keep_silence: Keep clips below -60 dB of full scale too.
        keep_duplicates: Keep clips with the same samples as another too.
        encoding: Encoding of the clips in the shards, one of `encoding.ENCODINGS`.
        valid_percent: Share of the groups of recordings without a split that is for validation.
        workers: Threads that decode and encode; one a core if None. The bytes are the same.
        share: The share of the source to prepare. If there are several, `merge.merge` makes the
            data set when all shares are done.
        report: Called after each clip.

    Returns:
        `out`.

    Raises:
        DataError: If `out` holds something else, a file of the source has changed since it was
            begun, or the source is damaged.
        OutputError: If `out` cannot be written.
    """
    plan = PreparationPlan(
        sample_rate=sample_rate,
        clip_seconds=clip_seconds,
        encoding=encoding,
        shard_bytes=shard_bytes,
        limit=limit,
        keep_silence=keep_silence,
        keep_duplicates=keep_duplicates,
        valid_percent=valid_percent,
        num_shards=share.count,
        source=type(source).__name__,
        recordings=len(source),
        fingerprint=source.fingerprint,
        labels=source.labels,
    )
    out = Path(out)
    finished, files = is_finished(out, plan), read_files(source.files(_size(source, limit)))
    check_files(out, files, by_time=share.count == 1)
    if not finished:
        begin(out, plan)
        note_files(out, files)
        with claimed(out, share.index):
            _write_parts(source, out, plan, share, workers or os.cpu_count() or 1, report)
    if share.count == 1:
        merge(out)
    return out


def check_contents(
    source: Source,
    out: Path,
    workers: int | None = None,
    report: Callable[[PreparationState], None] = lambda progress: None,
) -> tuple[str, ...]:
    """Read recordings again and compare their clips with those of the data set made from them.

    Where all are as before, the files' sizes and times of now are written down.

    Args:
        source: The recordings.
        out: The finished data set.
        workers: Threads that decode and encode; one a core if None.
        report: Called after each clip.

    Returns:
        What differs: names of recordings, and keys of clips that none gives any more.

    Raises:
        DataError: If `out` is not a finished data set, or that of other recordings.
    """
    settings: dict[str, Any] = {**FORMER, **read_info(out).settings}
    made = PreparationPlan(**settings, labels=source.labels)
    now = replace(made, recordings=len(source), fingerprint=source.fingerprint)
    is_finished(out, replace(now, source=type(source).__name__))
    last, duplicates = _size(source, made.limit), Duplicates(made.keep_duplicates)
    clips, different = ClipDataset(out), dict[str, None]()
    places = {key: i for i, key in enumerate(clips.keys.tolist())}
    sounds = clips.sounds
    with closing(_results(source, made, (0, 0), last, workers or os.cpu_count() or 1)) as found:
        checked = (_checked(result, duplicates) for result in found)
        for result in _reported(checked, 0, 0, last, report):
            clip = result.value
            if isinstance(clip, EncodedClip):
                place = places.pop(clip.info.key, None)
                if place is None or not (
                    clip.sha256.startswith(sounds[place]) or _has_samples(clip, clips, place)
                ):
                    different[clip.info.source] = None
    if not (different or places):
        write_files(out, read_files(source.files(last)))
    return (*different, *places)


def _has_samples(clip: EncodedClip, clips: ClipDataset, place: int) -> bool:
    """Whether a clip has the samples of one of a data set; another version of the encoder may give
    the same samples other bytes."""
    count = round(clip.duration * clips.sample_rate)
    if count != clips.lengths[place]:
        return False
    return np.array_equal(decode(clip.data, count, 0, count), clips.read(place))


def _size(source: Source, limit: int | None) -> int:
    """How many recordings of the source are used."""
    return len(source) if limit is None else min(limit, len(source))


def _write_parts(
    source: Source,
    out: Path,
    plan: PreparationPlan,
    share: Share,
    workers: int,
    report: Callable[[PreparationState], None],
) -> None:
    """Write the parts of a share that are not on the disk yet."""
    first, last = share.span(_size(source, plan.limit))
    done = finished_parts(out, share.index)
    start = done[-1].next if done else (first, 0)
    if start is None:
        return
    duplicates = _recall(out, done, plan.keep_duplicates)
    with closing(_results(source, plan, start, last, workers)) as found:
        checked = (_checked(result, duplicates) for result in found)
        results = _reported(checked, start[0] - first, first, last - first, report)
        for number in count(len(done)):
            if _write_part(out, share.index, number, plan.shard_bytes, results).next is None:
                return


def _write_part(
    out: Path, rank: int, number: int, shard_bytes: int, results: Iterator[_Result]
) -> FinishedPart:
    """Write a part with the next results."""
    rows: list[dict] = []
    following = None
    with ShardWriter(shard_path(out, part_name(rank, number))) as shard:
        for result in results:
            value = result.value
            rows.append(asdict(value) if isinstance(value, Failure) else shard.add(value))
            if shard.size >= shard_bytes or len(rows) == PART_RESULTS:
                following = result.place
                break
    part = FinishedPart(rank, number, following, shard.size, shard.clips)
    write_part(out, part, rows)
    return part


def _results(
    source: Source, plan: PreparationPlan, start: tuple[int, int], last: int, workers: int
) -> Generator[_Result, None, None]:
    """The clips and failures of the recordings from a position on, in order."""
    cutter = Cutter(
        plan.sample_rate, plan.clip_seconds, plan.keep_silence, plan.encoding, plan.valid_percent
    )
    stopped = threading.Event()

    def results(item: tuple[int, Recording | Failure]) -> Iterator[_Result]:
        position, found = item
        values = iter((found,)) if isinstance(found, Failure) else cutter.clips(position, found)
        with until(stopped):
            for piece, value in enumerate(values, 1):
                yield _Result((position, piece), value)

    items = enumerate(source.recordings(start[0], last), start[0])
    with closing(work_ahead(results, items, workers, stopped)) as found:
        yield from (result for result in found if result.place > start)


def _checked(result: _Result, duplicates: Duplicates) -> _Result:
    if isinstance(result.value, Failure):
        return result
    clip = result.value
    reason = duplicates.reason(clip.info.key, clip.sha256)
    if reason is None:
        return result
    doubled = DoubledClip(clip.info.source, reason, DUPLICATE, clip.info.labels, clip.sha256)
    return _Result(result.place, doubled)


def _recall(out: Path, done: list[FinishedPart], keep: bool) -> Duplicates:
    """The duplicates known from the finished parts."""
    duplicates = Duplicates(keep)
    for part in done:
        clips = clip_rows(read_rows(out, part))
        for key, sha256 in zip(clips["key"].to_pylist(), clips["sha256"].to_pylist(), strict=True):
            duplicates.reason(key, sha256)
    return duplicates


def _reported(
    results: Iterable[_Result],
    before: int,
    first: int,
    total: int,
    report: Callable[[PreparationState], None],
) -> Iterator[_Result]:
    """The results; each is reported after it was used."""
    clips = failures = 0
    for result in results:
        yield result
        clips += isinstance(result.value, EncodedClip)
        failures += isinstance(result.value, Failure) and result.value.kind != DOUBTFUL
        report(PreparationState(before, result.place[0] + 1 - first, total, clips, failures))
