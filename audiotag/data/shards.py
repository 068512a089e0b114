"""A prepared data set: uncompressed WebDataset tar shards and an index of where each clip lies.

    index.parquet   key, shard, offset, length, sha256, duration, split, fold, labels
    labels.json     the label names in order
    dataset.json    counts, sample rate, versions, a hash of the keys of each split
    failures.jsonl  every recording not taken, with the reason
    shards/*.tar    <key>.flac (mono, 16 bits) and <key>.json (labels, source, times)
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from audiotag.errors import DataError
from audiotag.version import __version__

SHARD_BYTES = 1_000_000_000
TAR_HEADER_BYTES = 512
MAX_KEY_BYTES = 90  # a longer name would need an extended tar header and move the data
INDEX_FILE, LABELS_FILE, DATASET_FILE = "index.parquet", "labels.json", "dataset.json"
FAILURES_FILE = "failures.jsonl"
PCM_16_SCALE = 32767.0
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
    ]
)


@dataclass(frozen=True)
class ClipInfo:
    """What the data set says of a clip beside its samples; times in seconds of the source."""

    key: str
    labels: tuple[str, ...]
    split: str
    fold: int | None
    source: str
    start: float
    end: float


@dataclass(frozen=True)
class EncodedClip:
    """A clip as it goes into a shard: its FLAC bytes hold `samples` samples."""

    info: ClipInfo
    data: bytes
    samples: int


@dataclass(frozen=True)
class Failure:
    """A recording that was not taken, and why."""

    source: str
    reason: str


class ShardWriter:
    """Writes a data set into a folder beside `out`, moved into place when all of it is there.

    Args:
        out: The data set's folder; must not exist.
        sample_rate: Hz of the clips.
        shard_bytes: A shard that has grown past this is closed.

    Raises:
        DataError: If `out` exists.
    """

    def __init__(self, out: Path, sample_rate: int, shard_bytes: int = SHARD_BYTES) -> None:
        if out.exists():
            raise DataError(f"{out} exists already; choose another folder or remove it")
        self.out, self.sample_rate, self.shard_bytes = out, sample_rate, shard_bytes
        self.partial = out.with_name(out.name + ".partial")
        self.rows: list[dict] = []
        self.failures: list[Failure] = []
        self.hashes: dict[str, str] = {}
        self._tar: tarfile.TarFile | None = None
        self._shards = 0

    def __enter__(self) -> "ShardWriter":
        shutil.rmtree(self.partial, ignore_errors=True)
        (self.partial / "shards").mkdir(parents=True)
        return self

    def add(self, clip: EncodedClip) -> None:
        """Append a clip; one whose samples are there already is recorded as a failure."""
        info, data = clip.info, clip.data
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.hashes:
            self.failures.append(Failure(info.source, f"duplicate of {self.hashes[digest]}"))
            return
        self.hashes[digest] = info.key
        tar = self._open_shard()
        offset = tar.offset + TAR_HEADER_BYTES
        _add_member(tar, f"{info.key}.flac", data)
        _add_member(tar, f"{info.key}.json", json.dumps(asdict(info)).encode())
        self.rows.append(
            {
                "key": info.key,
                "shard": Path(str(tar.name)).name,
                "offset": offset,
                "length": len(data),
                "sha256": digest,
                "duration": clip.samples / self.sample_rate,
                "split": info.split,
                "fold": info.fold,
                "labels": list(info.labels),
            }
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tar is not None:
            self._tar.close()
        if error is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
            return
        self._write_index()
        os.replace(self.partial, self.out)

    def _open_shard(self) -> tarfile.TarFile:
        if self._tar is not None and self._tar.offset > self.shard_bytes:
            self._tar.close()
            self._tar = None
        if self._tar is None:
            path = self.partial / "shards" / f"{self._shards:06d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)
            self._shards += 1
        return self._tar

    def _write_index(self) -> None:
        pq.write_table(pa.Table.from_pylist(self.rows, SCHEMA), self.partial / INDEX_FILE)
        names = sorted({label for row in self.rows for label in row["labels"]})
        _write_json(self.partial / LABELS_FILE, names)
        splits = sorted({row["split"] for row in self.rows})
        summary = {
            "clips": len(self.rows),
            "hours": sum(row["duration"] for row in self.rows) / 3600,
            "sample_rate": self.sample_rate,
            "splits": {split: _split_summary(self.rows, split) for split in splits},
            "failures": len(self.failures),
            "version": __version__,
        }
        _write_json(self.partial / DATASET_FILE, summary)
        lines = (json.dumps(asdict(failure)) + "\n" for failure in self.failures)
        (self.partial / FAILURES_FILE).write_text("".join(lines), encoding="utf-8")


def encode_flac(samples: np.ndarray, sample_rate: int) -> bytes:
    """The bytes of a 16-bit FLAC file of samples (T,) in [-1, 1]."""
    file = io.BytesIO()
    pcm = np.round(np.clip(samples, -1, 1) * PCM_16_SCALE).astype(np.int16)
    soundfile.write(file, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def hash_keys(keys: Iterable[str]) -> str:
    """Hash of a set of clip keys: says which clips a figure was measured on."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]


def _split_summary(rows: list[dict], split: str) -> dict:
    keys = [row["key"] for row in rows if row["split"] == split]
    return {"clips": len(keys), "keys": hash_keys(keys)}


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
