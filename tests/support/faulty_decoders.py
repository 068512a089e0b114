"""A decoder with the faults of others: the first bytes of a file say which one it shows.

Helpers find it by its name, in place of `streams.decoded`.
"""

import os
import re
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from audiotag.audio import streams
from audiotag.audio.sources import Bytes

REAL = streams.decoded


def decoded(source, *arguments) -> Iterator[np.ndarray]:
    """What a file's fault does, and all other files as they are. A file FILE.begun says that the
    fault of FILE.wav is being shown."""
    data = source.read_bytes() if isinstance(source, Path) else source
    fault = FAULTS.get(data[:8].split(b"\n")[0].decode("latin-1"))
    if fault is None:
        return REAL(source, *arguments)
    if isinstance(source, Path):
        source.with_suffix(".begun").touch()
    return fault(arguments[-1])


def sleeps(warn):
    yield np.ones(1000, np.float32)
    time.sleep(1e6)


def spins(warn):
    """In C, and with Python's lock held."""
    yield np.ones(1000, np.float32)
    re.match(r"(a+)+$", "a" * 64 + "b")


def loops(warn):
    """In libsndfile, without Python's lock: a list's size wraps around 32 bits."""
    yield np.ones(1000, np.float32)
    form = struct.pack("<HHIIHH", 1, 1, 22_050, 44_100, 2, 16)
    inner = b"abcd" + struct.pack("<I", 0xFFFFFFF8) + bytes(8)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"LIST" + struct.pack("<I", len(inner)) + inner + b"data" + bytes(4)
    soundfile.SoundFile(Bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks))


def fills(warn):
    kept = []
    while True:
        kept.append(np.ones(2**20))


def crashes(warn):
    yield np.ones(1000, np.float32)
    os.kill(os.getpid(), signal.SIGSEGV)


def raises(warn):
    yield np.ones(1000, np.float32)
    raise ZeroDivisionError("a bug\nof two lines")


def never_ends(warn):
    while True:
        yield np.zeros(2**16, np.float32)


def doubts(warn):
    warn("is loud")
    yield np.ones(64_000, np.float32)
    warn("ends\nearly \udcff")


def prints(warn):
    os.write(1, b"not part of what is sent")
    yield np.full(32_000, 0.5, np.float32)


FAULTS = {
    function.__name__[:7]: function
    for function in (sleeps, spins, loops, fills, crashes, raises, never_ends, doubts, prints)
}


def write_fault(path: Path, fault) -> Path:
    """A file that shows it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(fault.__name__[:7].encode() + b"\n" + os.urandom(1000))
    return path
