"""`audiotag find`: recordings and sounds by label, in stored results."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiotag.cli.options.inputs import usage_errors
from audiotag.cli.options.types import FILE, Number
from audiotag.cli.say import say
from audiotag.runtime.escapes import visible
from audiotag.tagging.csv_rows import csv_header, csv_line
from audiotag.tagging.text import clock

if TYPE_CHECKING:
    from audiotag.tagging.query import Query

COLUMNS = ("path", "start", "end", "label", "score")
Row = tuple[str, float | None, float | None, str | None, float | None]


@click.command()
@click.argument("query")
@click.argument("results", type=FILE, nargs=-1, required=True, metavar="RESULTS...")
@click.option(
    "--min-score",
    type=Number("score", float, 0, 1),
    default=0.0,
    show_default=True,
    help="Count only labels with at least this score.",
)
@click.option(
    "--sort",
    type=click.Choice(["score", "path"]),
    help="The highest scores first, or by path.  [default: in the order of RESULTS]",
)
@click.option("--count", is_flag=True, help="Print how many recordings and sounds match.")
@click.option("--files", is_flag=True, help="Print each recording's path once, and nothing else.")
@click.option(
    "--format",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="clips takes jsonl and csv.",
)
def find(
    query: str,
    results: tuple[Path, ...],
    min_score: float,
    sort: str | None,
    count: bool,
    files: bool,
    format: str,
) -> None:
    """Find the recordings in RESULTS whose labels match QUERY, and when their sounds are.

    RESULTS are what audiotag tag wrote as jsonl, json or csv, of any size. QUERY is a label, or
    several with AND, OR, NOT and brackets. A label counts those below it in AudioSet's ontology;
    without one of that name, all with its words are meant. Guesses do not count.

    \b
    Example: audiotag find dog tags.jsonl
             audiotag find 'dog AND NOT speech' tags.jsonl --min-score 0.5 --sort score
             audiotag find '"Rain" OR (thunder AND NOT music)' night.csv --files
             audiotag find 'baby cry' events.jsonl --format csv > cries.csv
    """
    from audiotag.tagging.query import Query

    with usage_errors():
        asked = Query(query)
    seen: set[str] = set()
    rows = _rows(asked, results, min_score, seen)
    if sort is not None:
        key = (lambda row: -(row[4] or 0.0)) if sort == "score" else (lambda row: row[0])
        rows = iter(sorted(rows, key=key))
    found = _print(rows, count, files, format)
    for name, near in asked.unknown(seen):
        say(f"no label has {name!r}" + (f"; near: {', '.join(near)}" if near else ""))
    sys.exit(0 if found else 1)


def _rows(query: "Query", results: tuple[Path, ...], least: float, seen: set[str]) -> Iterator[Row]:
    """Each sound that is asked for, of recordings that match; one row without a sound of those that
    match by what they lack."""
    from audiotag.tagging.stored_results import read_results

    for path in results:
        for file in read_results(path):
            loud = [found for found in file.found if found.score >= least]
            labels = {found.label for found in loud}
            seen |= labels
            if file.error is not None or not query.matches(labels):
                continue
            wanted = [found for found in loud if query.wants(found.label)]
            for found in wanted:
                yield file.path, found.start, found.end, found.label, found.score
            if not wanted:
                yield file.path, None, None, None, None


def _print(rows: Iterator[Row], count: bool, files: bool, format: str) -> int:
    """Print rows; returns how many there were."""
    number, paths, last = 0, 0, None
    if format == "csv" and not count and not files:
        click.echo(csv_header(COLUMNS), nl=False)
    for row in rows:
        is_new = row[0] != last
        number, paths, last = number + 1, paths + is_new, row[0]
        if count:
            continue
        if files:
            if is_new:
                click.echo(visible(row[0]) if sys.stdout.isatty() else row[0])
        elif format == "jsonl":
            click.echo(json.dumps(_record(row), ensure_ascii=False))
        elif format == "csv":
            cells = {
                name: value for name, value in zip(COLUMNS, row, strict=True) if value is not None
            }
            click.echo(csv_line(cells, COLUMNS), nl=False)
        else:
            click.echo(_line(row))
    if count:
        click.echo(f"{paths} recordings, {number} sounds")
    return number


def _record(row: Row) -> dict[str, object]:
    """A recording with one sound, as `audiotag tag` writes it."""
    path, start, end, label, score = row
    if label is None:
        return {"path": path, "tags": []}
    if start is None:
        return {"path": path, "tags": [{"label": label, "score": score}]}
    event = {"label": label, "start": start, "end": end, "score": score}
    return {"path": path, "tags": [], "events": [event]}


def _line(row: Row) -> str:
    path, start, end, label, score = row
    if label is None:
        return visible(path)
    span = "" if start is None or end is None else f"  {clock(start)} to {clock(end)}"
    return f"{score:.3f}  {visible(label)}{span}  {visible(path)}"
