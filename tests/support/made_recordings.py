"""Recordings made of noise, and what a prepared data set holds."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from audiotag.data.recordings import Recording, SamplesAudio

RATE = 8000  # Hz


@dataclass
class ListSource:
    """Recordings held in a list."""

    items: list
    labels: tuple | None = None
    fingerprint: str = "list"

    def __len__(self):
        return len(self.items)

    def files(self, last):
        return iter(())

    def recordings(self, first, last):
        yield from self.items[first:last]


def noise(seed, seconds=1.0):
    count = round(seconds * RATE)
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def recording(seed, seconds=1.0, **known):
    return Recording(f"n/{seed}.wav", SamplesAudio(noise(seed, seconds), RATE), ("x",), **known)


def rows_of(folder):
    return pq.read_table(folder / "index.parquet").to_pylist()


def failures_of(folder):
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


def contents(folder):
    """Path and bytes of everything in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
