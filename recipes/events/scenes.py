"""Scenes of a minute with known times, mixed from ESC-10's clips and coloured noise: what
`audiotag evaluate --events` is measured on.

    python recipes/events/scenes.py ESC10 OUT [--scenes 200] [--seed 0]

ESC10 has a table esc10.csv with the columns path and label. OUT gets scene_000.flac and so on, and
labels.tsv with the columns filename, onset, offset and event_label: seconds, and AudioSet's names.
The same seed makes the same samples.

Each scene has five to eight sounds of different clips, none over another, half a second apart at
least. A sound's times are those at which it is within 30 dB of its loudest moment; where a clip is
softer for a second or more, as between some barks, it is two sounds. Noise from white to brown,
whose level rises and falls slowly, lies 10 to 30 dB below each sound.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 32_000  # Hz
SECONDS = 60
SOUNDS = (5, 8)  # in a scene
APART = 0.5  # seconds from one sound's clip to the next
FRAME = 0.02  # seconds
RANGE_DB = 30.0  # below the loudest frame a sound is over
PAUSE = 1.0  # seconds that divide two sounds
LEVEL_DB = (-35.0, -20.0)  # RMS of a sound while it is heard, of full scale
NOISE_DB = (-30.0, -10.0)  # of the noise's RMS, to the softest sound
SLOPES = (0.0, 2.0)  # of the power of the noise over frequency, white to brown
NAMES = {
    "chainsaw": "Chainsaw",
    "clock_tick": "Tick-tock",
    "crackling_fire": "Fire",
    "crying_baby": "Baby cry, infant cry",
    "dog": "Dog",
    "helicopter": "Helicopter",
    "rain": "Rain",
    "rooster": "Crowing, cock-a-doodle-doo",
    "sea_waves": "Waves, surf",
    "sneezing": "Sneeze",
}
Times = list[tuple[float, float]]


def heard(samples: np.ndarray) -> Times:
    """When the sound of a clip (T,) is heard: starts and ends in seconds."""
    size = round(FRAME * RATE)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    level = 10 * np.log10(np.square(frames, dtype=np.float64).mean(1) + 1e-12)
    loud = np.flatnonzero(level >= level.max() - RANGE_DB)
    breaks = np.flatnonzero(np.diff(loud) * FRAME > PAUSE)
    first, last = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]]
    return [(float(a * FRAME), float((b + 1) * FRAME)) for a, b in zip(first, last, strict=True)]


def noise(generator: np.random.Generator) -> np.ndarray:
    """A scene's noise (T,), with an RMS of 1."""
    count = SECONDS * RATE
    spectrum = np.fft.rfft(generator.standard_normal(count))
    slope = generator.uniform(*SLOPES)
    samples = np.fft.irfft(spectrum * np.arange(1, len(spectrum) + 1) ** (-slope / 2), count)
    points = generator.uniform(-6, 6, SECONDS // 5 + 1)  # dB, one every five seconds
    level = np.interp(np.arange(count) / RATE, np.arange(len(points)) * 5, points)
    samples *= 10 ** (level / 20)
    return samples / np.sqrt(np.square(samples).mean())


def clip(path: Path) -> tuple[np.ndarray, Times]:
    """A clip with an RMS of 1 while it is heard, without the silence around, and its times."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(1), rate, RATE)
    times = heard(mono)
    begin, end = times[0][0], times[-1][1]
    mono = mono[round(begin * RATE) : round(end * RATE)]
    times = [(a - begin, b - begin) for a, b in times]
    loud = np.concatenate([mono[round(a * RATE) : round(b * RATE)] for a, b in times])
    return mono / np.sqrt(np.square(loud, dtype=np.float64).mean()), times


def scene(
    clips: list[tuple[Path, str]], generator: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """A scene's samples (T,) and its events: onset, offset and label."""
    count = int(generator.integers(SOUNDS[0], SOUNDS[1] + 1))
    chosen = [clips[i] for i in generator.choice(len(clips), count, replace=False)]
    parts = [clip(path) for path, _ in chosen]
    free = SECONDS - sum(len(x) / RATE for x, _ in parts) - APART * (count + 1)
    gaps = np.diff(np.r_[0, np.sort(generator.uniform(0, free, count))])
    levels = generator.uniform(*LEVEL_DB, count)
    mixed = noise(generator) * 10 ** ((levels.min() + generator.uniform(*NOISE_DB)) / 20)
    events, at = [], 0.0
    for (samples, times), (_, label), gap, level in zip(parts, chosen, gaps, levels, strict=True):
        at += APART + gap
        begin = round(at * RATE)
        mixed[begin : begin + len(samples)] += samples * 10 ** (level / 20)
        events += [(begin / RATE + a, begin / RATE + b, NAMES[label]) for a, b in times]
        at += len(samples) / RATE
    return mixed, events


def main() -> None:
    """Read the command line and write the scenes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("esc10", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with (arguments.esc10 / "esc10.csv").open(newline="") as file:
        clips = [(arguments.esc10 / row["path"], row["label"]) for row in csv.DictReader(file)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "labels.tsv").open("w") as table:
        table.write("filename\tonset\toffset\tevent_label\n")
        for number in range(arguments.scenes):
            samples, events = scene(clips, np.random.default_rng((arguments.seed, number)))
            name = f"scene_{number:03}.flac"
            soundfile.write(arguments.out / name, samples.clip(-1, 1), RATE)
            table.writelines(f"{name}\t{a:.3f}\t{b:.3f}\t{label}\n" for a, b, label in events)


if __name__ == "__main__":
    main()
