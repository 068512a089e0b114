"""Resuming: which files an unfinished jsonl or csv output holds, without those to do again.

After a kill the output may end anywhere. A torn last result is cut off, and files that failed are
taken out, to be tried again. A csv does not show whether the rows of its last file are all there,
so that file is done again too.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from audiotag.errors import DataError
from audiotag.runtime.files import replaced
from audiotag.tagging.formats import CSV_COLUMNS, csv_line


@dataclass(frozen=True)
class Done:
    """Bytes of an output that hold the whole result of one file.

    Attributes:
        path: The file.
        text: Its line or lines.
        failed: Whether the result is an error.
    """

    path: str
    text: bytes
    failed: bool


def recover(output: Path, name: str) -> set[str]:
    """Keep in an output only the whole results of files that did not fail; returns their paths.

    Where there are none the output is left empty.

    Args:
        output: A file written as `jsonl` or `csv`, or none yet.
        name: Its format.

    Raises:
        DataError: If it holds something else.
    """
    if not output.is_file():
        return set()
    reader, start = READERS[name]
    paths: set[str] = set()
    with open(output, "rb") as old, replaced(output) as new:
        for done in reader(old, output):
            if not done.failed and done.path not in paths:
                new.write(done.text if paths else start + done.text)
                paths.add(done.path)
    return paths


def read_jsonl(file: BinaryIO, output: Path) -> Iterator[Done]:
    """Results of a jsonl file without a torn last line.

    Raises:
        DataError: If another line is not a result.
    """
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            return
        try:
            record = json.loads(line)
            yield Done(record["path"], line, failed="error" in record)
        except (ValueError, KeyError, TypeError) as error:
            raise _not_ours(output, number) from error


def read_csv(file: BinaryIO, output: Path) -> Iterator[Done]:
    """Results of a csv file without its last file's.

    Raises:
        DataError: If the header or a row is not that of a result.
    """
    rows = _rows(file, output)
    previous: Done | None = None
    for path, group in groupby(rows, key=attrgetter("path")):
        if previous is not None:
            yield previous
        same = list(group)
        text = b"".join(row.text for row in same)
        previous = Done(path, text, failed=any(row.failed for row in same))


READERS: dict[str, tuple[Callable[[BinaryIO, Path], Iterator[Done]], bytes]] = {
    "jsonl": (read_jsonl, b""),
    "csv": (read_csv, csv_line(CSV_COLUMNS).encode()),
}


def _rows(file: BinaryIO, output: Path) -> Iterator[Done]:
    """Whole rows of a csv file, each with its bytes."""
    taken: list[str] = []  # lines of the row being read: a quoted path may hold line ends
    size = os.fstat(file.fileno()).st_size
    for number, row in enumerate(csv.reader(_recording(file, taken)), 1):
        text = "".join(taken).encode("utf-8", "surrogateescape")
        taken.clear()
        if file.tell() == size and _is_torn(row, text):
            return
        if len(row) != len(CSV_COLUMNS) or (number == 1 and tuple(row) != CSV_COLUMNS):
            raise _not_ours(output, number)
        if number > 1:
            yield Done(row[0], text, failed=bool(row[-1]))


def _recording(file: BinaryIO, taken: list[str]) -> Iterator[str]:
    """The lines of a file, each added to `taken` too."""
    while line := file.readline():
        taken.append(line.decode("utf-8", "surrogateescape"))
        yield taken[-1]


def _is_torn(row: list[str], text: bytes) -> bool:
    return len(row) != len(CSV_COLUMNS) or not text.endswith(b"\n")


def _not_ours(output: Path, number: int) -> DataError:
    return DataError(
        f"{output}: line {number} is not a result of audiotag tag in this format, so it cannot be "
        "resumed; choose another --output"
    )
