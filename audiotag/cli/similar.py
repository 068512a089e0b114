"""`audiotag similar`: search by example in stored embeddings."""

import json
import sys
from pathlib import Path

import click

from audiotag.cli.options.inputs import MODEL
from audiotag.cli.options.types import COUNT, FILE, Number
from audiotag.cli.say import say
from audiotag.runtime.escapes import visible
from audiotag.tagging.csv_rows import csv_header, csv_line
from audiotag.tagging.text import clock

COLUMNS = ("path", "start", "end", "similarity")
PAIR = ("path", "other", "similarity")
SECONDS = Number("seconds", float, 0)


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="[EXAMPLE] EMBEDDINGS")
@click.option("--top", type=COUNT, default=20, show_default=True, help="Print NUMBER windows.")
@click.option("--each", is_flag=True, help="Only the nearest window of each recording.")
@click.option("--start", type=SECONDS, default=0.0, help="Where the example begins in its file.")
@click.option("--end", type=SECONDS, help="Where it ends.")
@click.option(
    "--duplicates",
    is_flag=True,
    help="Without an EXAMPLE: pairs of recordings in EMBEDDINGS that are almost the same.",
)
@click.option(
    "--least",
    type=Number("similarity", float, -1, 1),
    default=0.999,
    show_default=True,
    help="With --duplicates: the least similarity.",
)
@MODEL
@click.option(
    "--format",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    show_default=True,
)
def similar(
    files: tuple[Path, ...],
    top: int,
    each: bool,
    start: float,
    end: float | None,
    duplicates: bool,
    least: float,
    model: str | None,
    format: str,
) -> None:
    """Find the recordings in EMBEDDINGS that sound like EXAMPLE, and where.

    EMBEDDINGS is what audiotag embed wrote, npz or parquet. The EXAMPLE is embedded by the same
    model. A similarity of 1 is the same sound.

    \b
    Example: audiotag embed recordings --window 2 --output recordings.npz
             audiotag similar owl.wav recordings.npz --each
             audiotag similar night.wav recordings.npz --start 61.5 --end 63
             audiotag similar recordings.npz --duplicates
    """
    from audiotag.tagging import similar as search
    from audiotag.tagging.open import open_engine
    from audiotag.tagging.stored_embeddings import open_embeddings

    if len(files) != (1 if duplicates else 2):
        raise click.UsageError("give an EXAMPLE and EMBEDDINGS, or EMBEDDINGS and --duplicates")
    if end is not None and end <= start:
        raise click.UsageError(f"--end {end:g} is not after --start {start:g}")
    stored = open_embeddings(files[-1])
    if duplicates:
        pairs = search.duplicates(stored, least)
        rows = [dict(zip(PAIR, pair, strict=True)) for pair in pairs]
        _print(rows, PAIR, format)
        sys.exit(0 if rows else 1)
    engine = open_engine(model or search.model_of(stored))
    vectors = search.embed_example(engine, stored, files[0], start, end)
    found = search.nearest(stored, vectors, top, each)
    _print([vars(one) for one in found], COLUMNS, format)
    if not found:
        say(f"{files[-1]} has no windows to compare")
    sys.exit(0 if found else 1)


def _print(rows: list[dict], columns: tuple[str, ...], format: str) -> None:
    if format == "csv":
        click.echo(csv_header(columns), nl=False)
    for row in rows:
        row = {**row, "similarity": round(row["similarity"], 5)}
        if format == "jsonl":
            click.echo(json.dumps(row, ensure_ascii=False))
        elif format == "csv":
            click.echo(csv_line(row, columns), nl=False)
        elif "other" in row:
            other = visible(row["other"])
            click.echo(f"{row['similarity']:.3f}  {visible(row['path'])}  {other}")
        else:
            span = f"{clock(row['start'])} to {clock(row['end'])}"
            click.echo(f"{row['similarity']:.3f}  {span}  {visible(row['path'])}")
