"""Embeddings on disk: one npz or parquet file for many recordings.

npz: `paths` (F,), `durations` (F,), `clips` (F, D), and for all windows one after the other
`windows` (N, D), `window_starts` (N,) and `window_files` (N,), the row of `paths` a window belongs
to; `failed_paths`, `failed_errors`; `made_with`, a text. parquet: a row for each file: `path`,
`duration`, `clip`, `window_starts`, `windows`, `error`; `audiotag.made_with` in its metadata.

The file appears when it is complete. Until then each recording is added to a store beside it as
soon as it is done, so a run that ends early can be resumed.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Protocol

from audiotag.audio.find_files import LISTING
from audiotag.models.engine import Engine
from audiotag.runtime.files import replaced
from audiotag.runtime.lock import lock_of, locked
from audiotag.tagging import embeddings_npz
from audiotag.tagging.embedding_store import (
    Content,
    Earlier,
    EmbeddingStore,
    check_same,
    holds_results,
    opened_store,
    read_header,
    store_of,
)
from audiotag.tagging.provenance import Provenance, provenance_of
from audiotag.tagging.results import FileEmbedding
from audiotag.tagging.resume import real_path
from audiotag.tagging.tag import TagOptions

SUFFIXES = (".npz", ".parquet")
REMEDY = "make room or rights for it, or choose another --output"
FORMER = ".audiotag-*"  # folders of arrays that killed runs left before there were stores


ARRAYS = {"durations", "clips", "windows", "window_starts", "window_files"}  # in such a folder


class Format(Protocol):
    """Reads and writes the files of one suffix."""

    def read_done(self, path: Path) -> Earlier: ...

    def write(self, file: IO[bytes], content: Content) -> None: ...


class EmbeddingFile:
    """An output that takes embeddings.

    Args:
        store: The store that they are added to.
        earlier: The content of an earlier run's output, if there is one.
        made: What they are made with.
    """

    def __init__(self, store: EmbeddingStore, earlier: Earlier | None, made: Provenance) -> None:
        self.store, self.earlier, self.made = store, earlier, made
        stored = [record.path for record in store.records if record.error is None]
        before = [] if earlier is None else earlier.done
        self._done = Counter(self._key(path) for path in (*before, *stored))

    def has(self, path: Path) -> bool:
        """Whether an earlier run has done this file, under this or another path.

        Each recording of the earlier run counts for one file only: two names of the same file,
        such as a link, have one recording each.
        """
        key = _text_of(real_path(str(path)))
        self._done[key] -= 1
        return self._done[key] >= 0

    def write(self, result: FileEmbedding) -> None:
        """Add the embeddings of a file."""
        self.store.add(replace(result, path=self._name(result.path)))

    def failed(self) -> dict[str, str]:
        """Errors, by path, of the files that have failed and have not succeeded since."""
        before = {} if self.earlier is None else self.earlier.failed
        failed = {self._key(path): (path, error) for path, error in before.items()}
        for record in self.store.records:
            if record.error is None:
                failed.pop(self._key(record.path), None)
            else:
                failed[self._key(record.path)] = record.path, record.error
        return dict(failed.values())

    def _key(self, path: str) -> str:
        return _text_of(real_path(path, self.made.folder or ""))

    def _name(self, path: str) -> str:
        """The path of a file from the folder that the output's paths are relative to."""
        folder = self.made.folder
        if path == LISTING or os.path.isabs(path) or folder in (None, os.getcwd()):
            return path
        return os.path.relpath(path, folder)


def made_with(engine: Engine, options: TagOptions) -> Provenance:
    """What the embeddings of a model are made with."""
    settings = {
        "window": options.window,
        "hop": options.window if options.hop is None else options.hop,
        "track": options.track,
        "channel": options.channel,
        "folder": os.getcwd(),
    }
    return provenance_of(engine, settings, "embeddings")


@contextmanager
def embedding_file(path: Path, made: Provenance, resume: bool = False) -> Iterator[EmbeddingFile]:
    """A file of embeddings, in the format of its suffix; written at the end, or after Ctrl-C.

    Any other end, a kill too, leaves the finished recordings in a store beside it. An existing file
    is replaced when the new one is complete.

    Args:
        path: The file.
        made: What the embeddings are made with.
        resume: Add to the file, and to the store, that an earlier run has left.

    Raises:
        ValueError: As `check_output`.
        DataError: If an earlier run's file was made with something else, or is damaged.
        OutputError: If it cannot be written, or another process is writing it: on entering, on
            leaving, or from its `write`.
    """
    check_output(path, resume)
    target = Path(os.path.realpath(path))
    busy = f"{path}: another process is writing it; wait for it, or choose another --output"
    with locked(lock_of(target), busy, REMEDY, path):
        _sweep(target.parent)
        earlier = _read_earlier(target, made) if resume and target.exists() else None
        if resume:
            made = _from_the_same_folder(made, earlier, store_of(target), path)
        with opened_store(store_of(target), path, made, REMEDY, resume) as store:
            file = EmbeddingFile(store, earlier, made)
            try:
                yield file
            except KeyboardInterrupt:
                if store.records:
                    _finish(target, file)
                raise
            _finish(target, file)


def check_output(path: Path, resume: bool = False) -> None:
    """Check the name of an output, and that no results of an earlier run would be lost.

    Raises:
        ValueError: If its suffix is not one of `SUFFIXES`, or if it exists and `resume` is false.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"the name {path} must end in {' or '.join(SUFFIXES)}")
    if resume:
        return
    if path.exists():
        raise ValueError(f"{path} exists: add --resume to add to it, or choose another --output")
    store = store_of(Path(os.path.realpath(path)))
    if holds_results(store):
        raise ValueError(
            f"{store} holds the results of a run that ended early: add --resume to resume it, "
            "or remove it to start anew"
        )


def _finish(target: Path, file: EmbeddingFile) -> None:
    """Write the output, and remove the store."""
    store, is_new = file.store, file.earlier is None
    if not store.records and not is_new:
        return  # there is nothing to add
    kept = f"make room or rights for it; what is done is kept in {store.path}: add --resume"
    content = Content(file.made, None if is_new else target, store, file.failed())
    with replaced(target, kept) as out:
        _format(target).write(out, content)
    store.records.clear()


def _read_earlier(target: Path, made: Provenance) -> Earlier:
    """The content of an earlier run's output.

    Raises:
        DataError: If it was made with another model or other options, or is damaged.
    """
    earlier = _format(target).read_done(target)
    check_same(earlier.made, made, target)
    return earlier


def _from_the_same_folder(
    made: Provenance, earlier: Earlier | None, store: Path, output: Path
) -> Provenance:
    """What embeddings are made with; paths stay relative to the folder of the earlier run."""
    begun = read_header(store, output) if earlier is None else earlier.made
    return made if begun is None else Provenance({**made.values, "folder": begun.folder})


def _format(path: Path) -> Format:
    """The module that reads and writes files with the suffix of a path."""
    if path.suffix.lower() == ".npz":
        return embeddings_npz
    from audiotag.tagging import embeddings_parquet  # pyarrow, which npz does without

    return embeddings_parquet


def _sweep(folder: Path) -> None:
    """Remove what killed runs have left in a folder."""
    for path in folder.glob(FORMER):
        if {entry.name for entry in path.iterdir()} <= ARRAYS:
            shutil.rmtree(path, ignore_errors=True)


def _text_of(path: str) -> str:
    """A path as parquet holds it too."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
