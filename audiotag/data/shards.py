"""A prepared data set: uncompressed WebDataset tar shards, and an index of the clips in them.

index.parquet   key, shard, offset, length, sha256, duration, split, fold, labels
labels.json     the label names in order
dataset.json    counts, sample rate, settings, versions, a hash of the keys of each split
sources.parquet size and time of each file that the clips are from
failures.jsonl  every clip and recording that was left out, with the reason
shards/*.tar    <key>.flac or <key>.wav (mono, 16 bits) and <key>.json (labels, source, times)
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa

from audiotag.runtime.files import replaced

SHARD_BYTES = 1_000_000_000
REMEDY = "make room or rights for it and run the same command again: it resumes where it stopped"
TAR_BLOCK = 512  # bytes; headers take one, data is filled up to whole ones
TAR_END = bytes(2 * TAR_BLOCK)
INDEX_FILE, LABELS_FILE, DATASET_FILE = "index.parquet", "labels.json", "dataset.json"
FAILURES_FILE, SHARDS_FOLDER = "failures.jsonl", "shards"
SOURCE_FILES = "sources.parquet"
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("sha256", pa.string()),
        ("duration", pa.float64()),
        ("split", pa.string()),
        ("fold", pa.int64()),
        ("labels", pa.list_(pa.string())),
        ("group", pa.string()),
    ]
)


@dataclass(frozen=True)
class ClipInfo:
    """The record of a clip; times in seconds of the recording.

    Attributes:
        group: Clips of one group are never told apart by chance: not into different splits, nor
            into different parts of a cross-validation. None if the recording is its own group.
    """

    key: str
    labels: tuple[str, ...]
    split: str
    fold: int | None
    group: str | None
    source: str
    start: float
    end: float


@dataclass(frozen=True)
class EncodedClip:
    """An encoded clip for a shard.

    Attributes:
        info: The clip's record.
        data: The bytes of an audio file.
        encoding: Encoding of the file, one of `encoding.ENCODINGS`.
        sha256: Hash of `data`, in hexadecimal.
        duration: Seconds.
    """

    info: ClipInfo
    data: bytes
    encoding: str
    sha256: str
    duration: float


class ShardWriter:
    """Writes a shard: a context that leaves a complete file, or none if no clip was added.

    Args:
        path: The tar file; an existing one is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.clips = path, 0, 0
        self._exit = ExitStack()
        self._file: BinaryIO | None = None

    def add(self, clip: EncodedClip) -> dict:
        """Append a clip; returns its row of the index, with its source.

        Raises:
            OutputError: If it cannot be written.
        """
        if self._file is None:
            self._file = self._exit.enter_context(replaced(self.path, REMEDY))
        offset = self.size + TAR_BLOCK
        about = json.dumps(asdict(clip.info), ensure_ascii=False).encode()
        members = _member(f"{clip.info.key}.{clip.encoding}", clip.data) + _member(
            f"{clip.info.key}.json", about
        )
        self._file.write(members)
        self.size += len(members)
        self.clips += 1
        return _row(clip, self.path.name, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._exit:
            if error is not None:
                raise error  # into the file's own context, which removes the file
            if self._file is not None:
                self._file.write(TAR_END)
                self.size += len(TAR_END)


def hash_keys(keys: Iterable[str]) -> str:
    """Hash of a set of clip keys; it identifies the clips that a figure was measured on."""
    return hash_sorted(sorted(keys))


def hash_sorted(keys: Iterable[str]) -> str:
    """`hash_keys` of keys that are sorted already."""
    digest, between = hashlib.sha256(), b""
    for key in keys:
        digest.update(between + key.encode())
        between = b"\n"
    return digest.hexdigest()[:16]


def padded(size: int) -> int:
    """Bytes that `size` bytes take in a tar file."""
    return -(-size // TAR_BLOCK) * TAR_BLOCK


def read_header(file: BinaryIO, place: int) -> tarfile.TarInfo | None:
    """The tar header at a position in the file; None if there is no complete one."""
    try:
        data = os.pread(file.fileno(), TAR_BLOCK, place)
        header = tarfile.TarInfo.frombuf(data, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    header.offset = place
    return header if header.size >= 0 else None


def _member(name: str, data: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(padded(len(data)) - len(data))


def _row(clip: EncodedClip, shard: str, offset: int) -> dict:
    return {
        "key": clip.info.key,
        "shard": shard,
        "offset": offset,
        "length": len(clip.data),
        "sha256": clip.sha256,
        "duration": clip.duration,
        "split": clip.info.split,
        "fold": clip.info.fold,
        "labels": list(clip.info.labels),
        "group": clip.info.group,
        "source": clip.info.source,
    }
