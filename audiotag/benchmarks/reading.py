"""How fast training reads clips: from a prepared data set, and from HDF5 files of the same clips.

Each way reads the same clips in the same random order, without augmentation. Two stages are
measured: batches of float32 waveforms, and the log-mel maps that a model trains on. The maps of a
prepared data set are computed batch by batch, as in `audiotag train`; those of HDF5 files clip by
clip, as in the data loader of arXiv 2309.13972's code.

HDF5 rows of samples are only copied, but take by far the most storage; FLAC and mp3 are decoded.
So each way is measured twice: with the files in the system's cache, where the processor is the
limit, and with the files dropped from it, where the storage is.
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
from audiotag.runtime.timing import Work, interleave

CLIPS = 256  # read in a run
BATCH = 32  # clips
SEED = 0
F_MAX = 14_000.0  # Hz, the highest frequency of the maps if the sample rate allows it
CPU = torch.device("cpu")
SAMPLES_FILE, MP3_FILE = "samples.h5", "mp3.h5"


@dataclass(frozen=True)
class ReadingSpeed:
    """How fast clips are read in one way.

    Attributes:
        name: "shards"; "memory": decoded beforehand, if the data set fits; "hdf5 samples"; or
            "hdf5 mp3".
        workers: Threads that read at the same time.
        clip_bytes: Mean bytes of a stored clip.
        warm: Clips per second and worker in each run, with the files in the system's cache.
        cold: The same, with the files dropped from the cache.
        maps_warm: As `warm`, up to log-mel maps.
        maps_cold: As `cold`, up to log-mel maps.
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
    """How fast the clips of a data set are read, in all ways.

    Attributes:
        folder: The data set.
        clips: Number of clips that a run reads.
        seconds: Length that each clip is padded or cut to.
        processor: Name of the CPU.
        readings: One for each way, the prepared data set first.
    """

    folder: str
    clips: int
    seconds: float
    processor: str
    readings: tuple[ReadingSpeed, ...]


@dataclass(frozen=True)
class _Reader:
    """One way to read: `read` returns waveforms (B, T) of clips by their positions (B,) among those
    chosen, `maps` the log-mel maps (B, 1, n_mels, frames) of such a batch."""

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
        clips: Clips to read in a run; all of them if there are fewer.
        runs: How often each way is measured, with and without the files in the cache.
        report: Called with the name of each step.

    Raises:
        DataError: If the folder is not a prepared data set, or h5py is not installed.
    """
    dataset = ClipDataset(folder)
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(dataset), generator=generator)[:clips]
    seconds = float(dataset.durations[chosen.numpy()].max())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
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
    """Speed of a worker in one way over that in another: the median of the ratios of the runs."""
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
    """A function that reads all clips once, in the same random order for every way."""
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
    """Seconds of each function in each run, with its files dropped from the cache before."""
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
    """Drop a file from the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # pages that are not yet written would stay
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
