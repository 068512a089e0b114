"""How fast training reads clips: a prepared data set against HDF5 files of the same clips.

All give batches of float32 waveforms, of the same clips in the same random order, and then the
log-mel maps that a model trains on: of a prepared data set a batch at a time, as `audiotag train`
computes them, of HDF5 clip by clip, as the workers of arXiv 2309.13972's code do. Both stages are
measured, without augmentation. Rows of samples cost a copy, and the most storage by far; FLAC and
mp3 are decoded. So each is measured with the files in the system's cache, where the processor
counts, and with them dropped from it, where the storage does.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from audiotag.benchmarks import hdf5_baseline
from audiotag.benchmarks.defaults import DATA_RUNS
from audiotag.benchmarks.machine import processor
from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.clips import Clips, open_clips
from audiotag.data.loading.resident import BYTES_PER_SAMPLE, ResidentSamples
from audiotag.data.loading.streamed import StreamedSamples
from audiotag.features.log_mel import LogMel
from audiotag.runtime.allocator import keep_freed_memory
from audiotag.runtime.timing import Work, interleave

CLIPS = 256  # read in a run
BATCH = 32  # clips
SEED = 0
F_MAX = 14_000.0  # Hz, the highest frequency of the maps, where the rate has it
CPU = torch.device("cpu")
SAMPLES_FILE, MP3_FILE = "samples.h5", "mp3.h5"


@dataclass(frozen=True)
class ReadingSpeed:
    """How fast clips are read one way.

    Attributes:
        name: "shards"; "memory", where the data set fits, decoded beforehand; "hdf5 samples"; or
            "hdf5 mp3".
        workers: Threads that read at once.
        clip_bytes: Mean bytes that a clip takes there.
        warm: Clips a second and worker in each run, the files in the system's cache.
        cold: The same after the files were dropped from it.
        maps_warm: As `warm`, to log-mel maps.
        maps_cold: As `cold`, to log-mel maps.
    """

    name: str
    workers: int
    clip_bytes: float
    warm: tuple[float, ...]
    cold: tuple[float, ...]
    maps_warm: tuple[float, ...]
    maps_cold: tuple[float, ...]


@dataclass(frozen=True)
class DataSpeed:
    """Speeds of all ways to read one data set's clips.

    Attributes:
        folder: The data set.
        clips: How many clips a run reads.
        seconds: Length that each is padded or cut to.
        processor: Name of the CPU.
        readings: The prepared data set first.
    """

    folder: str
    clips: int
    seconds: float
    processor: str
    readings: tuple[ReadingSpeed, ...]


@dataclass(frozen=True)
class _Reader:
    """One way to read: `read` gives a batch (B, T) of clips by their places in the sample, `maps`
    the log-mel maps (B, 1, n_mels, frames) of one."""

    name: str
    workers: int
    files: tuple[Path, ...]
    clip_bytes: float
    read: Callable[[Tensor], Tensor]
    maps: Callable[[Tensor], Tensor]


def measure(
    folder: Path,
    clips: int = CLIPS,
    runs: int = DATA_RUNS,
    report: Callable[[str], None] = lambda message: None,
) -> DataSpeed:
    """Read clips of a prepared data set in random order, from it and from HDF5, in turn.

    Args:
        folder: The data set.
        clips: How many are read in a run; all of them where there are fewer.
        runs: Times that each way is measured, with and without the files in cache.
        report: Called with what is being done.

    Raises:
        DataError: If the folder is not a prepared data set, or h5py is not there.
    """
    dataset = ClipDataset(folder)
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(dataset), generator=generator)[:clips]
    seconds = float(dataset.durations[chosen.numpy()].max())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training on a CPU does
    try:
        with tempfile.TemporaryDirectory() as scratch:
            report(f"writing {len(chosen)} clips as HDF5")
            readers = list(_readers(dataset, chosen, seconds, Path(scratch)))
            report(f"reading them {4 * runs} times in {len(readers)} ways")
            readings = tuple(_measure(readers, len(chosen), runs))
    finally:
        torch.set_num_threads(threads)
    return DataSpeed(str(folder), len(chosen), seconds, processor(), readings)


def ratio(reading: ReadingSpeed, other: ReadingSpeed, cold: bool = False) -> float:
    """How many times as fast a worker reads one way as another, by the median of the runs."""
    one, two = (x.cold if cold else x.warm for x in (reading, other))
    return median(a / b for a, b in zip(one, two, strict=True))


def _readers(
    dataset: ClipDataset, chosen: Tensor, seconds: float, scratch: Path
) -> Iterator[_Reader]:
    rate = dataset.sample_rate
    batch_maps = LogMel(rate, f_max=min(F_MAX, rate / 2))
    clip_maps = hdf5_baseline.clip_maps(batch_maps)
    shards = tuple(sorted((dataset.folder / "shards").iterdir()))
    stored = float(dataset.sizes[chosen.numpy()].mean())
    for workers in sorted({1, len(os.sched_getaffinity(0))}):
        clips = Clips(StreamedSamples(dataset, CPU, workers))
        yield _Reader("shards", workers, shards, stored, _heads(clips, chosen, seconds), batch_maps)
    held = open_clips(dataset, CPU)
    if isinstance(held.samples, ResidentSamples):
        read = _heads(held, chosen, seconds)
        yield _Reader("memory", 1, (), _memory(dataset, chosen), read, batch_maps)
    size = round(seconds * rate)
    path = hdf5_baseline.write_samples(dataset, chosen, size, scratch / SAMPLES_FILE)
    stored = path.stat().st_size / len(chosen)
    yield _Reader("hdf5 samples", 1, (path,), stored, hdf5_baseline.read_samples(path), clip_maps)
    if rate in hdf5_baseline.MP3_RATES:
        path = hdf5_baseline.write_mp3(dataset, chosen, scratch / MP3_FILE)
        stored = path.stat().st_size / len(chosen)
        yield _Reader("hdf5 mp3", 1, (path,), stored, hdf5_baseline.read_mp3(path, size), clip_maps)


def _memory(dataset: ClipDataset, chosen: Tensor) -> float:
    """Mean bytes of a decoded clip."""
    return BYTES_PER_SAMPLE * float(dataset.lengths[chosen.numpy()].mean())


def _heads(clips: Clips, chosen: Tensor, seconds: float) -> Callable[[Tensor], Tensor]:
    return lambda places: clips.heads(chosen[places], seconds)


def _measure(readers: list[_Reader], clips: int, runs: int) -> Iterator[ReadingSpeed]:
    stages = [(x, to_maps) for x in readers for to_maps in (False, True)]
    works = {f"{x.name} {x.workers} {to_maps}": _run(x, clips, to_maps) for x, to_maps in stages}
    warm = interleave(works, runs, run_seconds=0)
    cold = _interleave_cold(works, [x.files for x, _ in stages], runs)
    for x in readers:
        speeds = [
            tuple(clips / seconds / x.workers for seconds in times[f"{x.name} {x.workers} {stage}"])
            for stage in (False, True)
            for times in (warm, cold)
        ]
        yield ReadingSpeed(x.name, x.workers, x.clip_bytes, *speeds)


def _run(reader: _Reader, clips: int, to_maps: bool) -> Work:
    """Reads all clips once, in an order of its own that is the same for every way."""
    order = torch.randperm(clips, generator=torch.Generator().manual_seed(SEED + 1))

    def work() -> None:
        for places in order.split(BATCH):
            waveforms = reader.read(places)
            if to_maps:
                reader.maps(waveforms)

    return work


def _interleave_cold(
    works: Mapping[str, Work], files: list[tuple[Path, ...]], runs: int
) -> dict[str, list[float]]:
    """Seconds of each work in each run, its files dropped from the cache before."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for (name, work), paths in zip(works.items(), files, strict=True):
            for path in paths:
                _drop(path)
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return times


def _drop(path: Path) -> None:
    """Have the system forget what it holds of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not yet written stays
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
