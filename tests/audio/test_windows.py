"""Windows against those of the whole recording, and the memory that they take."""

import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from audiotag.audio.windows import surrounded_windows, windows
from tests.support.audio_files import sine, write_av


def expected_windows(samples, size, step):
    """Start and samples of each window, from the whole recording."""
    starts = []
    for start in range(0, len(samples), step):
        if starts and starts[-1] + size == len(samples):
            break
        starts.append(max(0, min(start, len(samples) - size)))
        if start + size > len(samples):
            break
    return [(start, samples[start : start + size]) for start in starts]


@pytest.mark.parametrize("seed", range(40))
def test_windows_equal_those_of_the_whole_recording(seed):
    rng = np.random.default_rng(seed)
    rate = 10
    for _ in range(25):
        samples = rng.standard_normal(rng.integers(1, 120)).astype(np.float32)
        size, step = rng.integers(1, 50, size=2)
        cuts = np.sort(rng.integers(0, len(samples) + 1, size=rng.integers(0, 30)))
        blocks = np.split(samples, cuts)
        result = list(windows(blocks, rate, size / rate, step / rate, minimum=0.0))
        expected = expected_windows(samples, size, step)
        assert [round(window.start * rate) for window in result] == [s for s, _ in expected]
        for window, (start, part) in zip(result, expected, strict=True):
            np.testing.assert_array_equal(window.samples, part)
            assert window.end == pytest.approx((start + len(part)) / rate)


@pytest.mark.parametrize(
    "seconds,hop,starts",
    [
        (10, None, [0]),
        (10.5, None, [0, 0.5]),
        (20, None, [0, 10]),
        (25, None, [0, 10, 15]),
        (12, 2.5, [0, 2]),
        (15, 2.5, [0, 2.5, 5]),
        (25, 20, [0, 15]),
        (15, 20, [0]),
        (4, None, [0]),
    ],
)
def test_window_starts(seconds, hop, starts):
    result = list(windows([np.zeros(round(seconds * 100), np.float32)], 100, 10.0, hop))
    assert [window.start for window in result] == starts
    assert {len(window.samples) for window in result} == {min(1000, round(seconds * 100))}


def test_silence_follows_a_short_recording():
    samples = np.arange(70, dtype=np.float32)
    (window,) = windows([samples], 100, minimum=2.0)
    assert (window.start, window.end) == (0.0, 0.7)
    np.testing.assert_array_equal(window.samples, np.concatenate([samples, np.zeros(130)]))


@pytest.mark.parametrize("length,hop", [(0.0, None), (-1.0, 1.0), (1.0, 0.0), (1.0, -1.0)])
def test_windows_of_no_length_or_hop(length, hop):
    with pytest.raises(ValueError, match="at least one sample"):
        windows([], 100, length, hop)


PEAK = """
import sys
from audiotag.audio.streams import stream; from audiotag.audio.windows import windows
count = sum(1 for _ in windows(stream(sys.argv[1], 16_000), 16_000))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(count, peak.split()[1])
"""


def windows_and_peak(path) -> tuple[int, float]:
    """Windows of a file, and the most memory a process takes to make them, in MB."""
    command = [sys.executable, "-c", PEAK, str(path)]
    count, peak = subprocess.run(command, capture_output=True, check=True).stdout.split()
    return int(count), int(peak) / 1024


def long_wav(path: Path, seconds) -> Path:
    """Silence at 8 kHz in 8 bits, as a sparse file."""
    size = 8_000 * seconds
    pcm = struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 8_000, 1, 8)
    riff = struct.pack("<4sI8s", b"RIFF", size + 36, b"WAVEfmt ")
    path.write_bytes(riff + pcm + struct.pack("<4sI", b"data", size))
    os.truncate(path, 44 + size)
    return path


def long_mp3(path: Path, seconds) -> Path:
    """A minute of mp3 over and over."""
    write_av(path, "libmp3lame", "mp3", None, sine(60, 8_000), 8_000)
    path.write_bytes(path.read_bytes() * (seconds // 60))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("make,hours", [(long_wav, 2), (long_mp3, 1)])
def test_hours_take_no_more_memory_than_two_minutes(tmp_path, make, hours):
    count, peak = windows_and_peak(make(tmp_path / "minutes", 120))
    long_count, long_peak = windows_and_peak(make(tmp_path / "hours", 3600 * hours))
    assert count == pytest.approx(12, abs=1)
    assert long_count == pytest.approx(360 * hours, abs=3)
    assert long_peak - peak < 20


@pytest.mark.parametrize("seconds", [0.3, 1.0, 7.3])
def test_surrounded_windows_hold_every_moment_equally_often(seconds):
    samples = np.arange(1, round(seconds * 100) + 1, dtype=np.float32)
    blocks = np.array_split(samples, 3)
    found = list(surrounded_windows(blocks, 100, length=2.0, hop=0.5, minimum=3.0))
    assert all(len(window.samples) == 300 for window in found)
    times = Counter(x for window in found for x in window.samples.tolist() if x)
    assert times == {x: 4 for x in samples.tolist()}
    for window in found:
        assert window.samples[window.samples > 0].tolist() == (
            samples[round(window.start * 100) : round(window.end * 100)].tolist()
        )


def test_surrounded_windows_of_nothing_are_none():
    assert list(surrounded_windows([], 100, length=2.0, hop=0.5)) == []


@pytest.mark.parametrize("hop", [0.001, 2.5])
def test_surrounded_windows_refuse_a_hop_that_leaves_gaps(hop):
    with pytest.raises(ValueError, match="hop"):
        list(surrounded_windows([np.zeros(9, np.float32)], 100, length=2.0, hop=hop))
