"""Damaged files of every format, made from seeds, and what becomes of them.

As a program, with a number of files and a first seed: `python -m tests.support.fuzz 10000 0`.
"""

import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio.helpers import HELPERS
from audiotag.audio.in_memory import Sound
from audiotag.audio.streams import stream
from audiotag.errors import AudioError
from tests.support.audio_files import DAMAGED, noise, write
from tests.support.damage import DAMAGES

RATE = 16_000
SIZES = (0, 1, 7, 8, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 8, 2**32 - 1)
WORKERS = 2
LONGEST = 3600.0  # s of sound that half a second of noise may become: a damaged rate or clock


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        seed: That it was made from.
        error: Why it could not be decoded; None if it could.
        samples: How many were decoded.
        seconds: That it took.
    """

    seed: int
    error: str | None
    samples: int
    seconds: float


def with_sizes(data, rng):
    """Sizes of chunks, or what looks like one, changed to extreme ones."""
    values = bytearray(data)
    names = [i for i in range(min(len(values), 4000) - 8) if values[i : i + 4].isalnum()]
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.choice(names)) if names else 0
        size = int(rng.choice(SIZES))
        begin = place + 4 if rng.integers(2) else max(0, place - 4)  # after the name, or before it
        values[begin : begin + 4] = size.to_bytes(4, "big" if rng.integers(2) else "little")
    return bytes(values)


def repeated(data, rng):
    """A piece, many times over."""
    begin = int(rng.integers(len(data)))
    piece = data[begin : begin + int(rng.integers(1, 500))]
    return data[:begin] + piece * int(rng.integers(2, 2000)) + data[begin:]


def shuffled(data, rng):
    """Pieces in another order."""
    pieces = np.array_split(np.frombuffer(data, np.uint8), int(rng.integers(2, 20)))
    rng.shuffle(order := list(range(len(pieces))))
    return b"".join(pieces[i].tobytes() for i in order)


def intact_files(folder: Path) -> dict[str, bytes]:
    """The bytes of half a second of noise in each format."""
    files = {s: write(folder, s, noise(0.5, 48_000, 2), 48_000).read_bytes() for s in DAMAGED}
    return files


def damaged(seed: int, intact: dict[str, bytes]) -> tuple[str, bytes]:
    """The suffix and the bytes of a damaged file."""
    rng = np.random.default_rng(seed)
    suffix = DAMAGED[seed % len(DAMAGED)]
    ways = (*DAMAGES, with_sizes, with_sizes, with_sizes, repeated, shuffled)
    data = intact[suffix]
    for _ in range(int(rng.integers(1, 3))):
        data = ways[rng.integers(len(ways))](data, rng) or data
    if not rng.integers(8):  # the beginning of one format, the rest of another
        other = intact[DAMAGED[rng.integers(len(DAMAGED))]]
        data = data[: rng.integers(1, 200)] + other[rng.integers(200) :]
    return suffix, data


def decode(seed: int, intact: dict[str, bytes], folder: Path) -> Outcome:
    """Decode a file, or its bytes."""
    suffix, data = damaged(seed, intact)
    path = folder / f"{seed}{suffix}"
    path.write_bytes(data)
    began, samples, error = time.monotonic(), 0, None
    try:
        for block in stream(Sound("bytes", data) if seed % 3 == 0 else path, RATE):
            assert np.isfinite(block).all() and np.abs(block).max() <= 1
            samples += len(block)
    except AudioError as failure:
        error = str(failure).removeprefix(f"{path}: ").removeprefix("bytes: ")
    path.unlink()
    return Outcome(seed, error, samples, time.monotonic() - began)


def memory(pid: int | str) -> int:
    """MiB that a process holds, on Linux."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def main(count: str, first: str = "0") -> None:
    """Decode many and print what became of them."""
    seeds = range(int(first), int(first) + int(count))
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(WORKERS) as pool:
        folder = Path(name)
        intact = intact_files(folder)
        outcomes = []
        for outcome in pool.map(lambda seed: decode(seed, intact, folder), seeds):
            outcomes.append(outcome)
            if len(outcomes) % 1000 == 0:
                held = [memory(helper.process.pid) for helper in HELPERS.free]
                print(f"{len(outcomes)} files; {memory('self')} MiB here, {held} in helpers")
    reasons = Counter("decoded" if o.error is None else o.error for o in outcomes)
    for reason, times in reasons.most_common():
        print(f"{times:6} {reason}")
    slowest = sorted(outcomes, key=lambda o: -o.seconds)[:5]
    print(
        "slowest:", *(f"seed {o.seed}: {o.seconds:.1f} s, {o.error}" for o in slowest), sep="\n  "
    )
    longest = max(outcomes, key=lambda o: o.samples)
    print(f"longest: seed {longest.seed}, {longest.samples / RATE:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
