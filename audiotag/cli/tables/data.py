"""The tables of `audiotag data`, for a terminal and in Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.text import Text

from audiotag.cli.tables.grid import open_console, print_grid

if TYPE_CHECKING:
    from audiotag.data.summary import DataSummary, PartSummary

EXTREMES = 10  # labels shown of the most and of the least frequent ones
QUANTILE_NAMES = ("shortest", "5 %", "median", "95 %", "longest")


@dataclass(frozen=True)
class Grid:
    """A table: names of its columns, the first of which holds words, and its rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def print_tables(summary: "DataSummary", all_labels: bool) -> None:
    """Print for a terminal."""
    console = open_console()
    name = Text(summary.name, style="bold")
    console.print(name.append(f": {_headline(summary)}", style="not bold"), soft_wrap=True)
    for grid in _grids(summary, all_labels):
        print_grid(console, grid.columns, grid.rows)


def print_markdown(summary: "DataSummary", all_labels: bool) -> None:
    """Print in Markdown."""
    click.echo(f"{_headline(summary)}.")
    for grid in _grids(summary, all_labels):
        click.echo()
        for row in (grid.columns, ["---", *["---:"] * (len(grid.columns) - 1)], *grid.rows):
            click.echo(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")


def _headline(summary: "DataSummary") -> str:
    return (
        f"{summary.clips:,} clips, {summary.hours:,.2f} hours at {summary.sample_rate:,} Hz, "
        f"{len(summary.labels):,} labels, {summary.labels_per_clip:.2f} a clip"
        + (f", {summary.unlabelled:,} clips without one" if summary.unlabelled else "")
    )


def _grids(summary: "DataSummary", all_labels: bool) -> Iterator[Grid]:
    yield _parts("split", summary.splits)
    if summary.folds:
        yield _parts("fold", summary.folds)
    durations = tuple(f"{seconds:.2f} s" for seconds in summary.durations)
    yield Grid(("duration", *QUANTILE_NAMES), (("", *durations),))
    yield _labels(summary, all_labels)
    if summary.pairs:
        pairs = tuple((f"{x.first} + {x.second}", f"{x.clips:,}") for x in summary.pairs)
        yield Grid(("labels together", "clips"), pairs)
    if summary.failures:
        counts = sorted(summary.failures.items(), key=lambda kind: -kind[1])
        yield Grid(
            ("not taken, or doubtful", "clips"), tuple((kind, f"{n:,}") for kind, n in counts)
        )


def _parts(kind: str, parts: Sequence["PartSummary"]) -> Grid:
    with_keys = parts[0].keys is not None
    rows = (
        (x.name, f"{x.clips:,}", f"{x.hours:,.2f}", *([x.keys or ""] if with_keys else []))
        for x in parts
    )
    columns = (kind, "clips", "hours", *(["keys"] if with_keys else []))
    return Grid(columns, tuple(rows))


def _labels(summary: "DataSummary", all_labels: bool) -> Grid:
    labels = summary.labels
    rows = [(label.name, f"{label.clips:,}") for label in labels]
    if not all_labels and len(labels) > 2 * EXTREMES:
        hidden = len(labels) - 2 * EXTREMES
        rows[EXTREMES:-EXTREMES] = [(f"... {hidden:,} more: --all", "")]
    return Grid(("label", "clips"), tuple(rows))
