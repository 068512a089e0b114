"""Ways to damage a file, and files of every format to damage."""

from itertools import product

import numpy as np
import pytest

from tests.support.audio_files import DAMAGED, noise, write


def truncated(data, rng):
    return data[: rng.integers(len(data))]


def flipped(data, rng):
    values = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(len(values), size=rng.choice([1, 20, 300]))
    values[places] ^= 1 << rng.integers(8, size=len(places), dtype=np.uint8)
    return values.tobytes()


def garbage_header(data, rng):
    count = int(rng.choice([4, 16, 64, 400]))
    return rng.bytes(count) + data[count:]


def extreme_header(data, rng):
    values = bytearray(data)
    last = max(1, min(400, len(data) - 4))  # files of labels may be shorter than a header
    for place in rng.integers(min(8, last - 1), last, size=3):
        values[place : place + 4] = [b"\xff" * 4, bytes(4), b"\x7f" + b"\xff" * 3][place % 3]
    return bytes(values)


def zeroed(data, rng):
    begin, end = sorted(rng.integers(len(data), size=2))
    return data[:begin] + bytes(end - begin) + data[end:]


def hole(data, rng):
    begin = int(rng.integers(len(data)))
    return data[:begin] + data[begin + int(rng.integers(1, 3000)) :]


def all_zero(data, rng):
    return bytes(len(data))


def untouched(data, rng):
    return data


DAMAGES = (
    truncated, flipped, garbage_header, extreme_header, zeroed, hole, all_zero, untouched
)  # fmt: skip
DAMAGE_CASES = [
    (suffix, damage, seed)
    for seed, (damage, suffix) in enumerate(product((*DAMAGES, *DAMAGES[:4]), DAMAGED))
]


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """The bytes of half a second of noise in each format."""
    folder = tmp_path_factory.mktemp("intact")
    paths = {suffix: write(folder, suffix, noise(0.5, 48_000, 2), 48_000) for suffix in DAMAGED}
    return {suffix: path.read_bytes() for suffix, path in paths.items()}
