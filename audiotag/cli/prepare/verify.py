"""`audiotag prepare verify`."""

import sys
from pathlib import Path

import click

from audiotag.cli.options.types import COUNT, FOLDER


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--workers", type=COUNT, help="Shards read at once.  [default: one for each core]")
def verify(folder: Path, workers: int | None) -> None:
    """Compare every clip of a data set with the index.

    Damaged clips and files are named, and the exit code is then 1.

    Example: audiotag prepare verify data/audioset
    """
    verify_data(folder, workers)


def verify_data(out: Path, workers: int | None, rank: int | None = None) -> None:
    """Verify a data set, or one share of it; ends the program with exit code 1 if it is damaged."""
    from audiotag.cli.progress.line import StatusLine
    from audiotag.data.prepare.verify import verify

    clips = damages = 0
    line = StatusLine()
    for checked in verify(out, workers, rank):
        clips += checked.clips
        damages += len(checked.damages)
        line.clear()
        for damage in checked.damages:
            clip = f", clip {damage.key}" if damage.key else ""
            click.echo(f"{damage.file}{clip}: {damage.reason}", err=True)
        if line.is_live:
            line.show(f"{checked.file}, {clips:,} clips read")
    line.clear()
    if damages:
        places = "one place" if damages == 1 else f"{damages:,} places"
        click.echo(f"{out} is damaged in {places}: copy or prepare it anew", err=True)
        sys.exit(1)
    click.echo(f"{out}: {clips:,} clips, all as they were written")
