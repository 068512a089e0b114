"""Add sequences of short recordings to a corpus: several steps, strokes, keys or barks in a row.

    python recipes/default/sequences.py OUT

OUT is a corpus that corpus.py has built. Many of its recordings are single sounds of less than two
seconds: one step, one knock, one bark. A teacher that was trained on AudioSet's clips of ten
seconds does not recognise them well.

A sequence is made of recordings of one source whose names differ only in a number (`step_1.ogg`,
`step_2.ogg`); a recording without others is repeated. They are played one after the other for 5 to
10 s, at intervals that vary around one that fits their length, each slightly changed in level and
pitch; half of the sequences have the echo of a room. Every training source gives at most 40
sequences with names of everyday actions, and 8 others. The sounds go to `OUT/audio/sequences`, and
their rows to `OUT/corpus.csv`, where they replace the rows of an earlier run; their group is that
of the recordings. The same corpus gives the same sequences.
"""

import argparse
import csv
import os
import random
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from audiotag.audio.streams import read
from audiotag.errors import AudioError

RATE = 32_000
FOLDER = "audio/sequences"
LONGEST = 2.0  # s: of a recording that follows itself
ACTIONS = 40  # sequences of a source whose names are of WANTED
OTHERS = 8  # and of other ones
WANTED = re.compile(
    "step|walk|run|jump|knock|hammer|chop|saw|drill|key|coin|dish|plate|cutler|fork|spoon|scissor|"
    "cut|paper|page|rustl|writ|pencil|chalk|scrap|scratch|squeak|creak|splash|drip|drop|bounc|ball|"
    "roll|crumpl|crunch|tear|rip|clatter|glass|shatter|break|smash|wing|flap|flutter|rat|mouse|"
    "squirrel|pant|sniff|bit|chew|eat|gulp|drink|laugh|giggl|chuckl|shout|yell|tap|tick|clock|"
    "camera|shutter|card|dice|typ|door|drawer|cupboard|chest|thump|thud|hit|punch|slap|jingl|bell|"
    "pour|fill|squish|slime|mud|snow|gravel|grass|leaf|leaves|wood|metal|stone|chain|zip|cloth|"
    "click|switch|button|cough|sneez|breath|snor|clap|snap|whip|swish|arrow|shot|gun|dig|shovel|"
    "brush|sweep|pump|gear|ratchet|bark|meow|oink|pig|dog|cat|bird|chirp|frog|duck|cluck|bee|fly",
    re.I,
)
PAUSES = (0.25, 0.4, 0.6, 0.9, 1.4)  # s between the beginnings of sounds, at the least
ROOM = (0.1, 0.6)  # s until a room's echo has fallen by 60 dB
PASSED_OVER = re.compile(r"voice|speech|/say|letter|alphabet|phoneme|rendered|/music", re.I)


def families(rows: list[dict[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Return the short recordings of each source by their names without numbers."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        whole = not row["start"] and row["split"] == "train"
        if whole and not PASSED_OVER.search(row["path"]) and row["group"] != "rendered":
            path = PurePosixPath(row["path"])
            stem = re.sub(r"[\d_ .()-]+", " ", path.stem).strip()
            found[row["group"], f"{path.parent}/{stem}"].append(row["path"])
    return found


def shorts(paths: list[str], out: Path, draw: random.Random) -> list[np.ndarray]:
    """Read up to eight of the recordings that are short enough, without silence around them."""
    kept = []
    for path in draw.sample(paths, min(8, len(paths))):
        try:
            samples = read(out / path, RATE, duration=LONGEST + 0.1)
        except AudioError:
            continue
        loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max(initial=0.0))
        if len(loud) > RATE // 50 and len(samples) <= LONGEST * RATE:
            kept.append(samples[loud[0] : loud[-1] + 1])
    return kept


def room(samples: np.ndarray, draw: random.Random) -> np.ndarray:
    """Return the samples with the echo of a room: the direct sound, and noise that decays."""
    seconds = draw.uniform(*ROOM)
    count = round(seconds * RATE)
    numbers = np.random.default_rng(draw.randrange(2**32))
    echo = numbers.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    echo *= draw.uniform(0.1, 0.5) / np.sqrt(np.square(echo).sum())
    echo[0] += 1.0
    size = 1 << (len(samples) + count).bit_length()  # a fast length
    return np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echo, size), size)[: len(samples)]


def sequence(sounds: list[np.ndarray], draw: random.Random) -> np.ndarray:
    """Return the sounds one after the other, in a random order, (T,)."""
    total = round(draw.uniform(5.0, 10.0) * RATE)
    samples = np.zeros(total + round(2 * LONGEST * RATE))
    mean = sum(map(len, sounds)) / len(sounds) / RATE
    pause = max(draw.choice(PAUSES), mean * draw.uniform(0.7, 1.2))
    jitter, time = draw.choice((0.03, 0.1, 0.4)), draw.uniform(0.0, 0.3)
    while time * RATE < total:
        sound = draw.choice(sounds) * 10 ** (draw.uniform(-5, 0) / 20)
        count = round(len(sound) * draw.uniform(0.94, 1.06))
        sound = np.interp(np.linspace(0, len(sound) - 1, count), np.arange(len(sound)), sound)
        start = round(time * RATE)
        samples[start : start + len(sound)] += sound
        time += pause * max(0.2, 1 + jitter * draw.gauss(0, 1))
    return room(samples[:total], draw) if draw.random() < 0.5 else samples[:total]


def render(rows: list[dict[str, str]], out: Path) -> list[list[str]]:
    """Make the sequences that do not exist yet; return the rows of all."""
    made: list[list[str]] = []
    counts: dict[tuple[str, bool], int] = defaultdict(int)
    found = families(rows)
    # In an order that no folder's name decides, so that what a source gives comes from all of it.
    for key in sorted(found, key=lambda key: random.Random(str(key)).random()):
        group, name = key
        draw = random.Random(f"{group} {name}")
        target = out / FOLDER / group.replace("/", "+") / f"{draw.randrange(16**12):012x}.ogg"
        wanted = bool(WANTED.search(PurePosixPath(name).name))
        if counts[group, wanted] == (ACTIONS if wanted else OTHERS):
            continue
        if not target.exists():
            sounds = shorts(found[key], out, draw)
            if not sounds:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            samples = sequence(sounds, draw)
            peak = np.abs(samples).max() or 1.0
            soundfile.write(target, samples * (0.7 / peak), RATE, format="OGG", subtype="VORBIS")
        counts[group, wanted] += 1
        made.append([target.relative_to(out).as_posix(), "", "train", group, "", ""])
    return made


def main() -> None:
    """Read the command line, make the sequences and put their rows into the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="the corpus")
    out = parser.parse_args().out
    table = out / "corpus.csv"
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if not row["path"].startswith(FOLDER)]
        header = list(reader.fieldnames or ())
    made = render(rows, out)
    partial = table.with_name(f".{table.name}.part")
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([[row[name] for name in header] for row in rows] + made)
    os.replace(partial, table)
    print(f"{len(made)} sequences")


if __name__ == "__main__":
    main()
