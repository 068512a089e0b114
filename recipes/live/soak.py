"""Does listening for hours stay within its memory?

    python recipes/live/soak.py [FILE]... [--hours 2]

Listens to the recordings again and again, as a pipe gives them, as fast as the machine can; prints
memory and share of real time at each tenth of the hours.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np

from audiotag.audio.streams import read
from audiotag.live.listen import Heard, Listener
from audiotag.live.sources import Arrays
from audiotag.tagging.open import open_engine
from audiotag.tagging.tag import TagOptions

RATE, PIECE = 32_000, 3_200
PAGE = resource.getpagesize()


def main() -> None:
    """Listen, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--hours", type=float, default=2.0)
    arguments = parser.parse_args()
    samples = sorted(Path(str(files("audiotag") / "assets/samples")).glob("*.[mwof]*"))
    sounds = [read(file, RATE) for file in arguments.files or samples if str(file)[-3:] != ".md"]
    total = arguments.hours * 3600

    def pieces() -> Iterator[np.ndarray]:
        given, number = 0.0, 0
        while given < total:
            sound = sounds[number % len(sounds)]
            number += 1
            given += len(sound) / RATE
            yield from (sound[begin : begin + PIECE] for begin in range(0, len(sound), PIECE))

    engine = open_engine()
    listener = Listener(engine, [Arrays(pieces(), RATE)], TagOptions(events=True))
    events, shown, second = 0, 0.0, 0.0
    for news in listener.news():
        events += not isinstance(news, Heard)
        second = news.end if isinstance(news, Heard) else second
        if second >= shown:
            memory = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20
            share = time.process_time() / max(second, 1e-9)
            print(f"{second / 3600:.2f} h: {memory:.0f} MiB, {share:.2%} of a core, {events} news")
            shown += total / 10


if __name__ == "__main__":
    main()
