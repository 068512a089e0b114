"""Add rendered sounds to a corpus: every General MIDI instrument, bands, tones and noises.

    sudo apt-get install fluidsynth fluid-soundfont-gm espeak-ng
    python recipes/default/render.py OUT

OUT is a corpus that corpus.py has built. The sounds go to `OUT/audio/rendered`, and their rows to
`OUT/corpus.csv`, where they replace the rows of an earlier run. Instruments are those of the
SoundFont Fluid (MIT licence, Debian's fluid-soundfont-gm), played by FluidSynth; the voices are
eSpeak NG's. Notes, sentences, tones and noises are made here, the same each time.
"""

import argparse
import csv
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
RATE = 32_000
GROUP = "rendered"
TICKS = 480  # a quarter note
PHRASES = 5  # of each of the 128 instruments
BANDS = 150
DRUM_CHANNEL = 9
SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 3, 5, 6, 7, 10),
    (0, 2, 4, 7, 9),
    (0, 1, 4, 5, 7, 8, 11),
)
TEXTS = (
    "The train on platform two leaves at half past nine.",
    "One, two, three, four, five, six, seven, eight, nine, ten.",
    "Please hold the line. All our lines are busy at the moment.",
    "The kettle is on the stove, and the window is open.",
    "Turn left after two hundred metres, then keep to the right.",
    "A quick brown fox jumps over the lazy dog.",
)
VOICES = ("en", "en-us", "de", "fr", "es", "it", "pt", "ru", "nl", "hi", "ar", "sw", "tr", "pl")
VARIANTS = ("", "+f2", "+f4", "+m3", "+m7", "+whisper", "+whisperf", "+croak")

Note = tuple[int, int, int, int, int]  # start and length in ticks, channel, pitch, velocity


def number(value: int) -> bytes:
    """A MIDI number of variable length."""
    found = [value & 127]
    while value := value >> 7:
        found.append(value & 127 | 128)
    return bytes(reversed(found))


def midi(notes: list[Note], programs: dict[int, int], tempo: float) -> bytes:
    """A MIDI file of notes, with the instrument of each channel and quarter notes a minute."""
    events = [(0, 0, bytes((0xC0 | channel, p))) for channel, p in programs.items()]
    for start, length, channel, pitch, velocity in notes:
        events.append((start, 2, bytes((0x90 | channel, pitch, velocity))))
        events.append((start + length, 1, bytes((0x80 | channel, pitch, 0))))
    track = b"\x00\xff\x51\x03" + round(60e6 / tempo).to_bytes(3, "big")
    now = 0
    for time, _, event in sorted(events):
        track += number(time - now) + event
        now = time
    track += b"\x00\xff\x2f\x00"
    header = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01" + TICKS.to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def scale_of(draw: random.Random, low: int, high: int) -> list[int]:
    """The pitches of a scale between two pitches."""
    scale, key = draw.choice(SCALES), draw.randrange(12)
    return [pitch for pitch in range(low, high + 1) if (pitch - key) % 12 in scale]


def melody(draw: random.Random, channel: int, pitches: list[int], ticks: int) -> list[Note]:
    """A line that walks up and down the pitches."""
    notes, time, place = [], 0, draw.randrange(len(pitches))
    rhythm = draw.choice(((TICKS,), (TICKS, TICKS // 2, TICKS // 2), (TICKS // 4,), (4 * TICKS,)))
    while time < ticks:
        length = draw.choice(rhythm)
        place = min(max(place + draw.choice((-3, -2, -1, -1, 0, 1, 1, 2, 3)), 0), len(pitches) - 1)
        if draw.random() < 0.9:
            held = round(length * draw.choice((0.5, 0.9, 1.1)))
            notes.append((time, held, channel, pitches[place], draw.randint(50, 120)))
        time += length
    return notes


def chords(draw: random.Random, channel: int, pitches: list[int], ticks: int) -> list[Note]:
    """Chords of three of the pitches, struck together or one after the other."""
    notes: list[Note] = []
    length, spread = draw.choice((TICKS, 2 * TICKS, 4 * TICKS)), draw.choice((0, 0, 30, TICKS // 4))
    for time in range(0, ticks, length):
        root = draw.randrange(max(1, len(pitches) - 4))
        for i, pitch in enumerate(pitches[root : root + 5 : 2]):
            notes.append((time + i * spread, length, channel, pitch, draw.randint(60, 110)))
    return notes


def drums(draw: random.Random, ticks: int) -> list[Note]:
    """A beat: bass drum, snare, hi-hats, now and then a cymbal, toms or hand percussion."""
    notes: list[Note] = []
    step = draw.choice((TICKS // 2, TICKS // 4))
    hat, extra = draw.choice((42, 46, 51, 70, 82)), draw.choice((None, 39, 54, 56, 60, 62, 64, 75))
    kick = draw.choice(((0,), (0, 2), (0, 1, 2, 3), (0, 1.5, 2.5)))
    for bar in range(0, ticks, 4 * TICKS):
        notes += [(bar + round(beat * TICKS), 60, DRUM_CHANNEL, 36, 110) for beat in kick]
        notes += [(bar + beat * TICKS, 60, DRUM_CHANNEL, 38, 100) for beat in (1, 3)]
        notes += [
            (bar + x, 60, DRUM_CHANNEL, hat, draw.randint(50, 90))
            for x in range(0, 4 * TICKS, step)
        ]
        if extra is not None:
            times = draw.sample(range(16), 5)
            notes += [(bar + x * TICKS // 4, 60, DRUM_CHANNEL, extra, 90) for x in times]
        if draw.random() < 0.3:
            notes.append((bar, 60, DRUM_CHANNEL, 49, 100))
    return notes


def phrase(draw: random.Random, program: int) -> bytes:
    """A single instrument: a melody, chords, or single notes."""
    tempo = draw.uniform(60, 160)
    ticks = round(draw.uniform(5, 9) / 60 * tempo * TICKS)
    low = draw.choice((28, 40, 48, 55, 60))
    pitches = scale_of(draw, low, low + draw.choice((14, 24, 30)))
    play = draw.choice((melody, melody, chords))
    return midi(play(draw, 0, pitches, ticks), {0: program}, tempo)


def band(draw: random.Random) -> bytes:
    """Drums, bass, chords and a lead."""
    tempo = draw.choice((70, 85, 95, 110, 120, 126, 132, 145, 170))
    ticks = round(9.5 / 60 * tempo * TICKS)
    key = scale_of(draw, 24, 96)
    parts = {
        0: (melody, draw.choice((32, 33, 34, 35, 36, 38, 39, 58)), 28, 45),
        1: (chords, draw.choice((0, 4, 5, 16, 18, 24, 25, 27, 29, 30, 48, 50, 61, 81, 90)), 48, 72),
        2: (melody, draw.randrange(105), 60, 88),
    }
    notes = drums(draw, ticks) if draw.random() < 0.85 else []
    for channel, (play, _, low, high) in parts.items():
        notes += play(draw, channel, [x for x in key if low <= x <= high], ticks)
    programs = {channel: part[1] for channel, part in parts.items()}
    return midi(notes, programs | {DRUM_CHANNEL: draw.choice((0, 0, 8, 16, 24, 25, 32, 40))}, tempo)


def pieces() -> Iterator[tuple[str, bytes]]:
    """Names and MIDI files of all that the SoundFont plays."""
    for program in range(128):
        for take in range(PHRASES):
            yield (
                f"instrument{program:03}_{take}",
                phrase(random.Random(f"{program} {take}"), program),
            )
    for take in range(BANDS):
        yield f"band{take:03}", band(random.Random(f"band {take}"))
    for take in range(40):
        draw = random.Random(f"drums {take}")
        kit = {DRUM_CHANNEL: draw.choice((0, 8, 16, 24, 25, 32, 40, 48))}
        yield f"drums{take:02}", midi(drums(draw, 16 * TICKS), kit, draw.uniform(70, 170))


def noise(random_numbers: np.random.Generator, slope: float, count: int) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `slope`, its peak at 1."""
    spectrum = np.fft.rfft(random_numbers.standard_normal(count))
    frequency = np.maximum(np.arange(len(spectrum)), 20 * count / RATE)
    found = np.fft.irfft(spectrum * frequency ** (-slope / 2), n=count)
    return found / np.abs(found).max()


def tones() -> Iterator[tuple[str, np.ndarray]]:
    """Names and samples of tones and noises."""
    numbers = np.random.default_rng(0)
    for take in range(30):
        count = round(numbers.uniform(2, 10) * RATE)
        time = np.arange(count) / RATE
        pitch = 2 ** numbers.uniform(5.5, 12.5)
        wave = np.sin(2 * np.pi * pitch * time)
        yield f"sine{take:02}", wave
        end = 2 ** numbers.uniform(5.5, 13)
        phase = pitch * time + (end - pitch) * time**2 / (2 * time[-1])
        yield f"chirp{take:02}", np.sin(2 * np.pi * phase)
        wobble = pitch * 2 ** (0.03 * np.sin(2 * np.pi * 5.5 * time) + 0.3 * np.sin(0.7 * time))
        yield f"theremin{take:02}", np.sin(2 * np.pi * np.cumsum(wobble) / RATE)
        yield f"noise{take:02}", noise(numbers, numbers.uniform(0, 2.2), count)
        square = np.sign(np.sin(2 * np.pi * min(pitch, 2000) * time))
        yield f"square{take:02}", square * (np.sin(2 * np.pi * numbers.uniform(1, 12) * time) > 0)
        mains = sum(
            np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 12, numbers.integers(1, 3))
        )
        yield f"hum{take:02}", mains + 0.02 * noise(numbers, 1.0, count)
        beat = time % numbers.choice((0.25, 0.5, 0.75, 1.0, 2.0)) < numbers.uniform(0.05, 0.4)
        yield f"beep{take:02}", np.sin(2 * np.pi * 2 ** numbers.uniform(8.5, 12) * time) * beat
        sweep = 700 + 500 * np.sin(2 * np.pi * numbers.uniform(0.15, 4) * time)
        yield f"siren{take:02}", np.sin(2 * np.pi * np.cumsum(sweep) / RATE)
        a, b = numbers.choice((697, 770, 852, 941)), numbers.choice((1209, 1336, 1477))
        pair = (350, 440) if take % 3 == 0 else (480, 620) if take % 3 == 1 else (a, b)
        both = sum(np.sin(2 * np.pi * x * time) for x in pair)
        yield f"telephone{take:02}", both * (time % 1.0 < (1.0, 0.5, 0.2)[take % 3])
        drops = np.zeros(count)
        drops[numbers.integers(0, count, count // 800)] = numbers.uniform(0.1, 1, count // 800)
        yield f"static{take:02}", drops + 0.05 * noise(numbers, 0.0, count)


def write(path: Path, samples: np.ndarray, gain: float) -> None:
    """Write mono samples as FLAC, their peak at `gain`."""
    peak = float(np.abs(samples).max())
    soundfile.write(path, samples * (gain / peak if peak else 0.0), RATE, format="FLAC")


def play(data: bytes, target: Path) -> None:
    """Play a MIDI file into a FLAC file of at most 10 s, with FluidSynth."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "a.mid"), Path(folder, "a.wav")
        score.write_bytes(data)
        command = ["fluidsynth", "-ni", "-q", "-r", str(RATE), "-g", "0.6", "-F", str(sound)]
        subprocess.run([*command, str(SOUNDFONT), str(score)], check=True, capture_output=True)
        samples, _ = soundfile.read(sound, dtype="float32")
    write(target, samples.mean(1)[: 10 * RATE], 0.7)


def voices(folder: Path) -> None:
    """Write the spoken sentences, with eSpeak NG."""
    for i, voice in enumerate(VOICES):
        for j, variant in enumerate(VARIANTS):
            text, speed = TEXTS[(i + j) % len(TEXTS)], str(110 + 15 * ((i * 3 + j) % 7))
            target = folder / f"voice_{voice}{variant}.wav"
            command = ["espeak-ng", "-v", voice + variant, "-s", speed, "-w", str(target), text]
            subprocess.run(command, check=True)


def render(folder: Path) -> None:
    """Make all sounds that do not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pieces():
        target = folder / f"{name}.flac"
        if not target.exists():
            play(data, target)
    draw = random.Random(0)
    for name, samples in tones():
        write(folder / f"{name}.flac", samples, 10 ** (-draw.uniform(3, 30) / 20))
    voices(folder)


def add_rows(out: Path) -> int:
    """Put the rows of the sounds into the table; returns how many there are."""
    table = out / "corpus.csv"
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = list(csv.reader(file))
    rows = [row for row in rows if row[3] != GROUP]
    names = sorted(path.name for path in (out / "audio" / GROUP).iterdir())
    rows += [[f"audio/{GROUP}/{name}", "", "train", GROUP, "", ""] for name in names]
    partial = table.with_name(f".{table.name}.part")
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    os.replace(partial, table)
    return len(names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="the corpus")
    out = parser.parse_args().out
    render(out / "audio" / GROUP)
    print(f"{add_rows(out)} sounds")
