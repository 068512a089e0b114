"""Resuming: read which files an unfinished jsonl or csv output holds, and complete it, so that it
equals the output of a run that was never stopped.

After a kill the output may end anywhere. An incomplete last result is cut off. Files that failed
are tried again; so is the last file of a csv, as some of its rows may be missing. New results are
added at the end. When this run, or a later one, ends, they replace the old results in their place.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from audiotag.errors import DataError
from audiotag.runtime.files import REMEDY, explained, replaced
from audiotag.tagging.csv_rows import BOM, EVENT_COLUMNS, NEEDED, STANDARD_INPUT, path_of

FOLDERS_KEPT = 2**14  # folders whose real paths are remembered


@dataclass(frozen=True)
class Done:
    """The bytes of an output that hold the complete result of one file.

    Attributes:
        path: The file, as it was named.
        begin: The first byte.
        end: The byte after the last.
        failed: Whether the result is an error.
    """

    path: str
    begin: int
    end: int
    failed: bool


@dataclass
class Earlier:
    """The results of earlier runs in an output.

    Attributes:
        done: Files that have been tagged, by `real_path`, and how often.
        again: Files that are to be tried again, as they were named, by `real_path`.
        size: Bytes of whole results, and of what comes before them.
        columns: Of a csv; None of one that has not begun.
        folder: Where relative paths start; the current folder if empty.
        is_settled: Whether no result is to give place to a later one.
        last: The last result.
    """

    done: Counter[str] = field(default_factory=Counter)
    again: dict[str, list[str]] = field(default_factory=dict)
    size: int = 0
    columns: tuple[str, ...] | None = None
    folder: str = ""
    is_settled: bool = True
    last: Done | None = None

    def take(self, path: str) -> bool:
        """Whether a file has been tagged. Each result counts for one file only: two names of the
        same file, such as a link, have one result each."""
        key = real_path(path)
        if self.done[key] < 1:
            return False
        self.done[key] -= 1
        return True

    def name_of(self, path: str, is_first: bool) -> str:
        """The path of a file in the output: the path it had if it was tried before, else its path
        from the folder that the output's paths are relative to.

        Args:
            path: The file, whose result is added next.
            is_first: Whether nothing has been added yet. If the last result is of this file, it is
                then no longer counted in `size`, and will be cut off.
        """
        if path == STANDARD_INPUT:
            return path
        names = self.again.get(real_path(path), [])
        if not names:
            is_named = not self.folder or os.path.isabs(path)
            return path if is_named else os.path.relpath(path, self.folder)
        name = path if path in names else names[0]
        names.remove(name)
        if is_first and self.last is not None and self.last.path == name:
            self.size = self.last.begin
        else:
            self.is_settled = False
        return name

    def add(self, done: Done, again: bool) -> None:
        """Count the next result in the output; `again` if its file is to be tried again."""
        key = real_path(done.path, self.folder)
        names = self.again.get(key, [])
        if done.path in names:
            names.remove(done.path)
            self.is_settled = False
        self.is_settled &= key not in self.done
        self.last, self.size = done, done.end
        if again:
            self.again.setdefault(key, []).append(done.path)
        else:
            self.done[key] += 1


def real_path(path: str, folder: str = "") -> str:
    """The same path for all spellings of a path: absolute, with links to folders resolved.

    Args:
        path: The file.
        folder: The folder that a relative path starts from; the current folder if empty.
    """
    above, name = os.path.split(os.path.join(folder, path))
    return os.path.join(_real_folder(above, os.getcwd()), name)


def recover(output: Path, name: str, folder: str = "", remedy: str = REMEDY) -> Earlier:
    """The results in an output; an incomplete one at its end is cut off.

    Args:
        output: A file written as `jsonl` or `csv`; it need not exist.
        name: Its format.
        folder: The folder that its paths are relative to; the current folder if empty.
        remedy: The remedy that error messages name.

    Raises:
        DataError: If it holds something else.
        OutputError: If it cannot be shortened.
    """
    earlier = Earlier(folder="" if _is_here(folder) else folder)
    if not output.is_file():
        return earlier
    with open(output, "rb") as file:
        if name == "csv":
            earlier.columns, earlier.size = read_header(file, output)
        last: Done | None = None
        for done in READERS[name](file, output):
            if last is not None:
                earlier.add(last, again=last.failed)
            last = done
        if last is not None:
            earlier.add(last, again=last.failed or name == "csv")
    cut(output, earlier.size, remedy)
    return earlier


def cut(output: Path, size: int, remedy: str = REMEDY) -> None:
    """Shorten an output to `size` bytes, if it is longer.

    Raises:
        OutputError: If it cannot be shortened.
    """
    if size < output.stat().st_size:
        with explained(output, remedy):
            os.truncate(output, size)


def settle(output: Path, name: str, remedy: str = REMEDY) -> None:
    """Replace earlier results of files by later ones, in their place.

    Args:
        output, name, remedy: As for `recover`; the output ends with a complete result.

    Raises:
        OutputError: If it cannot be written; it is then unchanged.
    """
    with open(output, "rb") as old, replaced(output, remedy) as new:
        start = read_header(old, output)[1] if name == "csv" else 0
        for begin, end in [(0, start), *_settled(READERS[name](old, output))]:
            old.seek(begin)
            new.write(old.read(end - begin))


def read_jsonl(file: BinaryIO, output: Path) -> Iterator[Done]:
    """Results of a jsonl file, without an incomplete last line.

    Raises:
        DataError: If another line is not a result.
    """
    begin = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            return
        end = begin + len(line)
        try:
            record = json.loads(line)
            yield Done(os.fspath(record["path"]), begin, end, failed="error" in record)
        except (ValueError, KeyError, TypeError) as error:
            raise _not_ours(output, number) from error
        begin = end


def read_csv(file: BinaryIO, output: Path) -> Iterator[Done]:
    """Results of a csv file, each with its rows, without an incomplete last row.

    A failure is one row, also for a file that was tried twice.

    Raises:
        DataError: If the header or another row is not that of a result.
    """
    held: Done | None = None
    for row in _rows(file, output):
        if held is not None and held.path == row.path and not (held.failed or row.failed):
            held = Done(row.path, held.begin, row.end, failed=False)
        else:
            if held is not None:
                yield held
            held = row
    if held is not None:
        yield held


READERS: dict[str, Callable[[BinaryIO, Path], Iterator[Done]]] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
}


def read_header(file: BinaryIO, output: Path) -> tuple[tuple[str, ...] | None, int]:
    """Columns of a csv, and bytes of its header: None and 0 where it is torn.

    Raises:
        DataError: If it is not the header of results.
    """
    file.seek(0)
    line = file.readline()
    file.seek(0)
    if not line.endswith(b"\n"):
        return None, 0
    columns = tuple(_text(line).removeprefix(BOM).rstrip("\r\n").split(","))
    if not NEEDED <= set(columns) <= set(EVENT_COLUMNS):
        raise _not_ours(output, 1)
    return columns, len(line)


def _settled(results: Iterator[Done]) -> list[tuple[int, int]]:
    """First byte, and the byte after the last, of each result in the old output, in new order."""
    places: list[tuple[int, int]] = []
    known: dict[str, int] = {}
    for done in results:
        place = known.get(done.path, len(places))
        places[place : place + 1] = [(done.begin, done.end)]
        if done.path != STANDARD_INPUT:  # which may be another sound each time
            known[done.path] = place
    return places


def _rows(file: BinaryIO, output: Path) -> Iterator[Done]:
    """Complete rows of a csv file."""
    columns, begin = read_header(file, output)
    if columns is None:
        return
    file.seek(begin)
    path, error = columns.index("path"), columns.index("error")
    taken: list[bytes] = []  # lines of the row being read: a quoted path may hold line ends
    rows = csv.reader(_recording(file, taken))
    number = 1
    while (row := _next(rows, output, number)) is not None:
        text = b"".join(taken)
        taken.clear()
        number, end = number + 1, begin + len(text)
        if not _is_whole(row, text, columns):
            if file.read(1):
                raise _not_ours(output, number)
            return
        yield Done(path_of(row[path]), begin, end, failed=bool(row[error]))
        begin = end


def _next(rows: Iterator[list[str]], output: Path, number: int) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise _not_ours(output, number + 1) from error


def _is_whole(row: list[str], text: bytes, columns: tuple[str, ...]) -> bool:
    return len(row) == len(columns) and text.endswith(b"\n")


def _recording(file: BinaryIO, taken: list[bytes]) -> Iterator[str]:
    """The lines of a file; each is also appended to `taken`."""
    while line := file.readline():
        taken.append(line)
        yield _text(line)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _is_here(folder: str) -> bool:
    return not folder or os.path.realpath(folder) == os.path.realpath(os.curdir)


@lru_cache(FOLDERS_KEPT)
def _real_folder(folder: str, here: str) -> str:
    """The real path of a folder; a relative one starts `here`, the current folder."""
    return os.path.realpath(os.path.join(here, folder))


def _not_ours(output: Path, number: int) -> DataError:
    return DataError(
        f"{output}: line {number} is not a result of audiotag tag in this format, so it cannot be "
        "resumed; choose another --output"
    )
