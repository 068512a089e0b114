"""HDF5 files read in a process of their own: on damage, the library may loop forever or crash.

    reader --one line of JSON: sys.path, the file, the request--> process
    reader <--HEADER, name, class numbers, bytes; ...-- process

Samples are float32, and the last of their class numbers is their rate in Hz.

An answer to each row is waited for some seconds; then the process is ended, the row has failed, and
another process goes on behind it.
"""

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.data.sources.archives import FoundRows, NoClipsError
from audiotag.data.sources.audioset.hdf5_file import (
    DAMAGE,
    ClipSets,
    Row,
    h5py_module,
    own_sets,
    read_row,
    wanted_rows,
)
from audiotag.errors import DataError

PATIENCE = 60.0  # s for an answer: the first reads of a file in a network folder are slow
MAX_ENDS = 3  # processes of a file that may end this way; then the rest of the file fails
HEADER = struct.Struct("<cqqq")  # kind; bytes of name, of numbers, and of data
MP3, SAMPLES, FAILED, REFUSED, NO_CLIPS, ROWS = b"m", b"s", b"f", b"r", b"o", b"n"
LIMIT = 2**31  # bytes of a part of an answer
PROGRAM = (
    "import json, sys; asked = json.loads(sys.stdin.readline()); sys.path[:] = asked.pop('path'); "
    f"import {__name__} as process; process.answer(**asked)"
)
Answer = tuple[bytes, str, np.ndarray, bytes]  # kind, name or reason, numbers, data


def rows_of(
    file: Path, wanted: Sequence[int], classes: int, rate: int | None = None
) -> FoundRows | None:
    """The rows that have one of the wanted classes, all if there are none; None if the file cannot
    be read.

    Raises:
        DataError: If h5py is not installed, or the file is refused.
        NoClipsError: If the file has another layout.
    """
    h5py_module()
    with _Reader(file, classes, wanted=list(wanted), rate=rate) as reader:
        answer = reader.next()
    if answer is not None and answer[0] == NO_CLIPS:
        raise NoClipsError(answer[1])
    return FoundRows(answer[2], answer[1]) if answer is not None and _is_good(answer) else None


def read_rows(
    file: Path, rows: Sequence[int], classes: int, rate: int | None = None
) -> Iterator[Row | str]:
    """The clips of some rows, in order; for each that cannot be read, the reason.

    Raises:
        DataError: As `rows_of`.
    """
    done = ends = 0
    while done < len(rows) and ends < MAX_ENDS:
        with _Reader(file, classes, rows=list(rows[done:]), rate=rate) as reader:
            while done < len(rows) and (answer := reader.next()) is not None:
                yield _row(answer) if _is_good(answer) else answer[1]
                done += 1
        if done < len(rows):
            ends += 1
            done += 1
            yield "HDF5 found no end of it, or crashed"
    yield from ["the file is damaged in too many places"] * (len(rows) - done)


def _is_good(answer: Answer) -> bool:
    """Whether an answer holds the requested data.

    Raises:
        DataError: If the file is refused.
    """
    if answer[0] in (REFUSED, NO_CLIPS):
        raise DataError(answer[1])
    return answer[0] != FAILED


def _row(answer: Answer) -> Row:
    kind, name, numbers, data = answer
    values = tuple(numbers.tolist())
    if kind == MP3:
        return Row(name, values, data, None)
    return Row(name, values[:-1], None, np.frombuffer(data, np.float32), values[-1])


class _Reader:
    """A process that answers one request; a context that ends it."""

    def __init__(self, file: Path, classes: int, **asked: Any) -> None:
        pipe, discard = subprocess.PIPE, subprocess.DEVNULL
        command = [sys.executable, "-P", "-c", PROGRAM]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=discard)
        question = {"file": str(file.absolute()), "classes": classes, **asked}
        question["path"] = [str(folder) for folder in sys.path]
        assert self._process.stdin is not None and self._process.stdout is not None
        self._answers: Any = self._process.stdout
        with self._process.stdin as stdin:
            stdin.write(json.dumps(question).encode() + b"\n")

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._answers.close()
        self._process.wait()

    def next(self) -> Answer | None:
        """The next answer; None if the process ended or was killed."""
        watch = threading.Timer(PATIENCE, self._process.kill)
        watch.start()
        try:
            head = self._answers.read(HEADER.size)
            if len(head) < HEADER.size:
                return None
            kind, *sizes = HEADER.unpack(head)
            if not all(0 <= size <= LIMIT for size in sizes):
                return None
            name, numbers, data = (self._answers.read(size) for size in sizes)
            if [len(name), len(numbers), len(data)] != sizes:
                return None
            return kind, name.decode("utf-8", "replace"), np.frombuffer(numbers, np.int64), data
        finally:
            watch.cancel()


def answer(
    file: str,
    classes: int,
    rows: list[int] | None = None,
    wanted: list[int] | None = None,
    rate: int | None = None,
) -> None:
    """The main function of the process: answer a request on standard output."""
    path = Path(file)
    try:
        with h5py_module().File(path) as opened:
            sets = own_sets(path, opened, rate)
            if rows is None:
                _write(ROWS, sets.note, wanted_rows(sets, wanted or [], classes))
            for row in rows or ():
                _answer_row(sets, row, classes)
    except DataError as error:
        _write(REFUSED, str(error))
    except NoClipsError as error:
        _write(NO_CLIPS, str(error))
    except DAMAGE as error:
        for _ in rows or [0]:
            _write(FAILED, f"cannot be read ({error})")


def _answer_row(sets: ClipSets, row: int, classes: int) -> None:
    try:
        found = read_row(sets, row, classes)
    except DAMAGE as error:
        _write(FAILED, f"cannot be read ({error})")
        return
    if found.samples is None:
        _write(MP3, found.name, np.array(found.classes, np.int64), found.mp3 or b"")
    else:
        numbers = np.array([*found.classes, found.rate], np.int64)
        _write(SAMPLES, found.name, numbers, found.samples.tobytes())


def _write(kind: bytes, name: str, numbers: np.ndarray | None = None, data: bytes = b"") -> None:
    text = name.encode("utf-8", "replace")
    counted = b"" if numbers is None else numbers.astype(np.int64).tobytes()
    head = HEADER.pack(kind, len(text), len(counted), len(data))
    for part in (head, text, counted, data):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
