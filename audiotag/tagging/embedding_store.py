"""The store: the results of an unfinished run of `embed`, in a file beside its output.

Its first line is JSON, and says what the embeddings are made with. Then comes a record for each
recording: length and checksum, a line of JSON, and the arrays. Records are only appended, so a kill
or a power cut can only damage the end, which is cut off when the run is resumed.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from audiotag.errors import DataError
from audiotag.runtime.files import appended
from audiotag.tagging.provenance import Provenance
from audiotag.tagging.results import FileEmbedding

SUFFIX = ".unfinished"
LONGEST_NAME = 255  # bytes, on common file systems
HEAD = struct.Struct("<QI")  # of a record: bytes that follow, and their CRC-32
PARQUET_MADE_WITH = b"audiotag.made_with"  # key of a parquet file's metadata
UNREADABLE = (ValueError, KeyError, TypeError)  # errors on reading anything else
VALUE, TIME = np.dtype("<f4"), np.dtype("<f8")


@dataclass(frozen=True, slots=True)  # there is one in memory for each recording
class Stored:
    """A recording in a store.

    Attributes:
        path: Its path, as the user named it.
        duration: Seconds; None if it failed.
        error: Why it failed; None if it did not.
        windows: Number of windows.
        size: Values of an embedding.
        place: Byte of the store's file where its arrays begin.
    """

    path: str
    duration: float | None
    error: str | None
    windows: int
    size: int
    place: int


@dataclass(frozen=True)
class Earlier:
    """The content of an output of an earlier run.

    Attributes:
        made: What it was made with.
        done: Paths of its recordings.
        failed: Errors of recordings that failed, by their paths.
    """

    made: Provenance
    done: list[str]
    failed: dict[str, str]


@dataclass(frozen=True)
class Content:
    """The content of an output that is to be written.

    Attributes:
        made: What it is made with.
        earlier: An output of an earlier run, whose recordings come first.
        store: The store of the other recordings.
        failed: Errors of the recordings that failed, by path.
    """

    made: Provenance
    earlier: Path | None
    store: "EmbeddingStore"
    failed: dict[str, str]


def check_same(made: Provenance, now: Provenance, output: Path) -> None:
    """Refuse to add to an output that was made with another model or other options.

    Raises:
        DataError: If they differ; names the differences.
    """
    if changes := made.changes(now):
        raise DataError(
            f"{output} was made with {', '.join(changes)}; resume it as it was begun, or choose "
            "another --output"
        )


def not_resumable(output: Path, error: Exception) -> DataError:
    """The error for an output that nothing can be added to, and why."""
    return DataError(
        f"{output} cannot be resumed: it is damaged, or not of audiotag embed ({error}); "
        "choose another --output"
    )


class EmbeddingStore:
    """Recordings that are done; see `opened_store`.

    Attributes:
        path: The store's file.
        records: The recordings in it.
    """

    def __init__(self, path: Path, file: BinaryIO, records: list[Stored], end: int) -> None:
        self.path, self.records = path, records
        self._file, self._end = file, end

    def add(self, result: FileEmbedding) -> None:
        """Add a recording.

        Raises:
            OutputError: If it cannot be written.
        """
        stored, data = _record(result, self._end)
        self._file.write(data)
        self._end += len(data)
        self.records.append(stored)

    def clips(self, records: list[Stored]) -> Iterator[np.ndarray]:
        """The embedding of each of these recordings, (1, D)."""
        for file, x in self._read(records):
            yield _array(file, x.place, VALUE, (1, x.size))

    def starts(self, records: list[Stored]) -> Iterator[np.ndarray]:
        """The starts of the windows of each of these recordings in seconds, (N,)."""
        for file, x in self._read(records):
            yield _array(file, x.place + x.size * VALUE.itemsize, TIME, (x.windows,))

    def windows(self, records: list[Stored]) -> Iterator[np.ndarray]:
        """The embeddings of the windows of each of these recordings, (N, D)."""
        for file, x in self._read(records):
            place = x.place + x.size * VALUE.itemsize + x.windows * TIME.itemsize
            yield _array(file, place, VALUE, (x.windows, x.size))

    def _read(self, records: list[Stored]) -> Iterator[tuple[BinaryIO, Stored]]:
        with open(self.path, "rb") as file:
            for record in records:
                yield file, record


@contextmanager
def opened_store(
    path: Path, output: Path, made: Provenance, remedy: str, resume: bool
) -> Iterator[EmbeddingStore]:
    """A store to add to; it is removed at the end if it holds nothing.

    Args:
        path: Its file.
        output: Where the embeddings will go; messages name it.
        made: What they are made with.
        remedy: What the message of an error says to do.
        resume: Keep what an earlier run has done.

    Raises:
        DataError: If that was made with something else.
        OutputError: If it cannot be written.
    """
    header = json.dumps(made.values).encode() + b"\n"
    records, end = _recovered(path, output, made) if resume else ([], 0)
    try:
        with appended(path, remedy, size=end, name=output) as file:
            if end == 0:
                end = file.write(header)
            yield EmbeddingStore(path, file, records, end)
    finally:
        if not records:
            with suppress(OSError):
                path.unlink()


def store_of(output: Path) -> Path:
    """Where the store of an output lies."""
    name = output.name + SUFFIX
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16] + SUFFIX
    return output.with_name(name)


def holds_results(path: Path) -> bool:
    """Whether a store is there with a record in it."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return bool(file.readline() and file.read(1))


def _record(result: FileEmbedding, end: int) -> tuple[Stored, bytes]:
    """A recording's entry, and the bytes of its record, which are written at `end`."""
    windows = np.ascontiguousarray(result.windows, VALUE)
    starts = np.ascontiguousarray(result.starts, TIME)
    clip = np.ascontiguousarray(result.clip, VALUE)
    if result.error is not None:
        clip, starts, windows = clip[:0].ravel(), starts[:0].ravel(), windows[:0]
    about = {
        "path": result.path,
        "duration": result.duration,
        "error": result.error,
        "windows": len(starts),
        "size": clip.size,
    }
    line = json.dumps(about).encode() + b"\n"
    data = line + clip.tobytes() + starts.tobytes() + windows.tobytes()
    return _stored(line, end), HEAD.pack(len(data), zlib.crc32(data)) + data


def _stored(line: bytes, start: int) -> Stored:
    """The recording of a record that begins at byte `start`, from its line of JSON."""
    return Stored(**json.loads(line), place=start + HEAD.size + len(line))


def read_header(path: Path, output: Path) -> Provenance | None:
    """The model and options in the first line of a store; None if there is no store.

    Raises:
        DataError: If the file is not a store.
    """
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        header = file.readline()
    if not header.endswith(b"\n"):
        return None  # torn before anything was added
    try:
        return Provenance.from_json(header)
    except UNREADABLE as error:
        raise not_resumable(output, error) from error


def _recovered(path: Path, output: Path, made: Provenance) -> tuple[list[Stored], int]:
    """The complete records of a store, and the byte after them; 0 if there is no store.

    Raises:
        DataError: If they were made with another model or other options.
    """
    records: list[Stored] = []
    begun = read_header(path, output)
    if begun is None:
        return records, 0
    check_same(begun, made, output)
    with open(path, "rb") as file:
        end = len(file.readline())
        while (record := _next_record(file, end)) is not None:
            records.append(record)
            end = file.tell()
    return records, end


def _next_record(file: BinaryIO, end: int) -> Stored | None:
    """The record at `end`; None if there is none or it is torn."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length, checksum = HEAD.unpack(head)
    if length > os.fstat(file.fileno()).st_size - end - HEAD.size:
        return None
    data = file.read(length)
    if zlib.crc32(data) != checksum:
        return None
    return _stored(data[: data.index(b"\n") + 1], end)


def _array(file: BinaryIO, place: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    file.seek(place)
    data = file.read(dtype.itemsize * int(np.prod(shape)))
    return np.frombuffer(data, dtype).reshape(shape)
