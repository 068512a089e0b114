"""Runs that are killed or stopped at any moment, and then resumed: nothing is lost or doubled."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

RUNS = int(os.environ.get("AUDIOTAG_FAULTS", "12"))  # that are ended early, for each format
EMBED = (sys.executable, "-m", "audiotag", "embed", "sounds", "--device", "cpu", "--workers", "1")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LONGEST = 2.5  # seconds until a run is ended
PATIENCE = 120  # seconds for a process to end on a busy machine


@pytest.fixture
def sounds(tmp_path, monkeypatch) -> list[str]:
    """Names of recordings of different lengths, in the order in which they are found."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("sounds").mkdir()
    names = [f"sounds/{i:03}.wav" for i in range(150)]
    for i, name in enumerate(names):
        soundfile.write(name, 0.1 * rng.standard_normal(8_000 + 900 * i), 8_000)
    return names


def embeddings(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths, embeddings of files and of their windows, in the order of the paths."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            paths, clips = arrays["paths"].tolist(), arrays["clips"]
            order = np.argsort(np.array(paths)[arrays["window_files"]], kind="stable")
            windows = arrays["windows"][order]
    else:
        table = pq.read_table(path).sort_by("path")
        paths, clips = table["path"].to_pylist(), np.array(table["clip"].to_pylist())
        windows = np.concatenate([np.array(x) for x in table["windows"].to_pylist()])
    return sorted(paths), clips[np.argsort(paths)], windows


def check_ended(process: subprocess.Popen, sent: int, errors: str) -> None:
    """Check how a process ended that a signal was sent to, or that was done before."""
    assert "Traceback" not in errors, errors
    if process.returncode == 0:
        return
    assert process.returncode == -sent or process.returncode == 128 + sent, errors
    if process.returncode > 0:
        assert errors.startswith("Stopped"), errors


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a process has made a file, or has ended."""
    while process.poll() is None and not path.exists():
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.npz", "x.parquet"])
def test_embed_ended_at_any_moment_and_resumed(sounds, name):
    whole, output = Path("whole", name), Path(name)
    subprocess.run([*EMBED, "--output", whole], check=True, capture_output=True)
    rng = random.Random(name)
    for number in range(RUNS):
        if number % 6 == 0:  # from the beginning
            output.unlink(missing_ok=True)
            Path(f"{name}.unfinished").unlink(missing_ok=True)
        sent = SIGNALS[number % len(SIGNALS)]
        command = [*EMBED, "--output", name, "--resume"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        if sent == signal.SIGINT:  # before that, it is Python itself that Ctrl-C ends
            wait_for(Path(f".{name}.lock"), process)
        time.sleep(rng.uniform(0, LONGEST))
        process.send_signal(sent)
        _, errors = process.communicate(timeout=PATIENCE)
        check_ended(process, sent, errors)
    command = [*EMBED, "--output", name, "--resume"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr.rstrip().endswith(name)
    paths, clips, windows = embeddings(output)
    expected, whole_clips, whole_windows = embeddings(whole)
    assert paths == expected == sounds
    np.testing.assert_allclose(clips, whole_clips, atol=1e-5)
    np.testing.assert_allclose(windows, whole_windows, atol=1e-5)
    assert sorted(os.listdir()) == ["sounds", "whole", name]
