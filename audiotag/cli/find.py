"""`audiotag find`: recordings and sounds by label, in stored results."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
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
    from audiotag.tagging.stored_results import Found, StoredFile

COLUMNS = ("path", "start", "end", "label", "score")


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
    help="Recordings with the highest scores first, or by path.  [default: as in RESULTS]",
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
    matches = _matches(asked, results, min_score, seen)
    if sort is not None:
        key = _highest if sort == "score" else (lambda match: match.path)
        matches = iter(sorted(matches, key=key))
    found = _print(matches, count, files, format)
    for name, near in asked.unknown(seen):
        say(f"no label has {name!r}" + (f"; near: {', '.join(near)}" if near else ""))
    sys.exit(0 if found else 1)


def _matches(
    query: "Query", results: tuple[Path, ...], least: float, seen: set[str]
) -> Iterator["StoredFile"]:
    """The recordings that match, each with the sounds that are asked for; with none where it
    matches by what it lacks."""
    from audiotag.tagging.stored_results import read_results

    for path in results:
        for file in read_results(path):
            seen |= {found.label for found in file.found}
            loud = [found for found in file.found if found.score >= least]
            if file.error is None and query.matches({found.label for found in loud}):
                wanted = tuple(found for found in loud if query.wants(found.label))
                yield replace(file, found=wanted)


def _highest(match: "StoredFile") -> float:
    """What sorts a recording by its highest score, downwards."""
    return -max((found.score for found in match.found), default=0.0)


def _print(matches: Iterator["StoredFile"], count: bool, files: bool, format: str) -> int:
    """Print what matches; returns how many recordings there are."""
    recordings = sounds = 0
    if format == "csv" and not count and not files:
        click.echo(csv_header(COLUMNS), nl=False)
    for match in matches:
        recordings, sounds = recordings + 1, sounds + len(match.found)
        if count:
            continue
        if files:
            click.echo(visible(match.path) if sys.stdout.isatty() else match.path)
        elif format == "jsonl":
            click.echo(json.dumps(_record(match), ensure_ascii=False))
        elif format == "csv":
            for cells in _rows(match) or [{"path": match.path}]:
                click.echo(csv_line(cells, COLUMNS), nl=False)
        else:
            for found in match.found or [None]:
                click.echo(_line(match.path, found))
    if count:
        click.echo(f"{recordings} recordings, {sounds} sounds")
    return recordings


def _rows(match: "StoredFile") -> list[dict[str, str | float]]:
    """The sounds of a recording, without times that they do not have."""
    return [
        {"path": match.path}
        | {name: value for name, value in asdict(found).items() if value is not None}
        for found in match.found
    ]


def _record(match: "StoredFile") -> dict[str, object]:
    """A recording with its sounds, as `audiotag tag` writes it."""
    record: dict[str, object] = {"path": match.path}
    if match.duration is not None:
        record["duration"] = match.duration
    has_times = any(found.start is not None for found in match.found)
    sounds = [{key: row[key] for key in row if key != "path"} for row in _rows(match)]
    return {**record, "tags": [], "events": sounds} if has_times else {**record, "tags": sounds}


def _line(path: str, found: "Found | None") -> str:
    if found is None:
        return visible(path)
    span = ""
    if found.start is not None and found.end is not None:
        span = f"  {clock(found.start)} to {clock(found.end)}"
    return f"{found.score:.3f}  {visible(found.label)}{span}  {visible(path)}"
