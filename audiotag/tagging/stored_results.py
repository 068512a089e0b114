"""Stored results, read back: what `audiotag tag` wrote as jsonl, json or csv, file by file.

Decisions, which the page of results exports as csv or json, are read too: of them, what is right is
kept, a guess as well.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from audiotag.errors import DataError
from audiotag.tagging.csv_rows import BOM, original, path_of

SUFFIXES = (".jsonl", ".json", ".csv")
DECISION, RIGHT = "decision", "right"  # a column of decisions, and what is kept
DECISIONS = "decisions"  # what holds them in json
LONGEST = 2**24  # characters of a line


@dataclass(frozen=True)
class Found:
    """A label that was found.

    Attributes:
        label: Its name.
        start: Seconds; None if it is of the whole recording.
        end: Seconds; None likewise.
        score: Its score.
    """

    label: str
    start: float | None
    end: float | None
    score: float


@dataclass(frozen=True)
class StoredFile:
    """The result of one recording.

    Attributes:
        path: The recording, as it was named.
        found: Its events; or, where no events were asked for, the tags of its windows, or of the
            whole. Guesses are left out.
        error: Why it failed; None if it did not.
        duration: Seconds; None where the results do not say.
    """

    path: str
    found: tuple[Found, ...] = ()
    error: str | None = None
    duration: float | None = None


def read_results(path: Path) -> Iterator[StoredFile]:
    """The results in a file, one recording at a time, in memory that does not grow with it, except
    for json.

    Raises:
        DataError: If it cannot be read, or holds something else; names the line.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is none of {', '.join(SUFFIXES)}, as audiotag tag writes them")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            if suffix == ".csv":
                yield from _of_csv(file, path)
            elif suffix == ".jsonl":
                yield from _of_lines(file, path)
            else:
                yield from _of_json(file.read(), path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def _of_lines(file: Any, path: Path) -> Iterator[StoredFile]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield _of_record(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise DataError(f"{path}, line {number} is no result of audiotag tag") from error


def _of_json(text: str, path: Path) -> Iterator[StoredFile]:
    try:
        records = json.loads(text)
        if isinstance(records, dict) and DECISIONS in records:
            for name, group in groupby(records[DECISIONS], key=lambda row: row["path"]):
                right = [row for row in group if row[DECISION] == RIGHT]
                yield StoredFile(str(name), tuple(_found(row, row) for row in right))
            return
        for record in records if isinstance(records, list) else [records]:
            yield _of_record(record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} holds no results of audiotag tag") from error


def _of_record(record: dict[str, Any]) -> StoredFile:
    path = str(record["path"])
    if "error" in record:
        return StoredFile(path, error=str(record["error"]))
    duration = record.get("duration")
    return StoredFile(
        path,
        tuple(_found(*pair) for pair in _rows_and_times(record) if not _is_guess(pair[0])),
        duration=None if duration is None else float(duration),
    )


def _rows_and_times(record: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    if "events" in record:
        return [(row, row) for row in record["events"]]
    if record.get("segments"):
        return [(row, part) for part in record["segments"] for row in part["tags"]]
    return [(row, {}) for row in record["tags"]]


def _is_guess(row: dict[str, Any]) -> bool:
    return bool(row.get("guess"))


def _found(row: dict[str, Any], times: dict[str, Any]) -> Found:
    span = [float(times[name]) if name in times else None for name in ("start", "end")]
    return Found(str(row["label"]), span[0], span[1], float(row["score"]))


def _of_csv(file: Any, path: Path) -> Iterator[StoredFile]:
    lines = (line.removeprefix(BOM) if number == 0 else line for number, line in enumerate(file))
    rows = csv.DictReader(lines)
    try:
        columns = rows.fieldnames or ()
        if not {"path", "label", "score"} <= set(columns):
            raise DataError(f"{path} has no columns path, label and score, as audiotag tag writes")
        for name, group in groupby(rows, key=lambda row: row["path"]):
            yield _of_rows(path_of(name), list(group))
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(f"{path}, line {rows.line_num} is no result of audiotag tag") from error


def _of_rows(path: str, rows: list[dict[str, Any]]) -> StoredFile:
    stored = StoredFile(path)
    found: list[Found] = []
    for row in rows:
        if row.get("error"):
            stored = replace(stored, error=original(row["error"]))
        elif row["label"] and (row[DECISION] == RIGHT if DECISION in row else not row.get("guess")):
            span = [float(row[name]) if row.get(name) else None for name in ("start", "end")]
            found.append(Found(original(row["label"]), span[0], span[1], float(row["score"])))
    return replace(stored, found=tuple(found))
