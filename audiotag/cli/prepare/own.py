"""`audiotag prepare folder` and `csv`: your own recordings."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.prepare import options
from audiotag.cli.options.types import FILE, FOLDER
from audiotag.cli.prepare.run import prepare_source


@click.command()
@click.argument("source", type=FOLDER)
@options
def folder(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of a folder, with a sub-folder a label.

    The recordings in SOURCE/LABEL become clips of the data set OUT. If the folders in SOURCE are
    called train, val, test or the like, they are its splits, as in SOURCE/train/LABEL; so are those
    in each folder of a label, as in SOURCE/LABEL/train.

    Example: audiotag prepare folder sounds/ data/sounds
    """
    from audiotag.data.sources.folder import FolderSource

    prepare_source(FolderSource(source), out, **settings)


@click.command(name="csv")
@click.argument("source", type=FILE)
@options
def csv_(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of the recordings that a table lists.

    SOURCE is a CSV file with the columns path and label (several labels joined by ;), and if you
    have them split, fold, group, start and end (in seconds); OUT is the data set. Without a split,
    recordings are divided by a hash of their group, or else of their path.

    Example: audiotag prepare csv clips.csv data/clips
    """
    from audiotag.data.sources.csv_table import CsvSource

    prepare_source(CsvSource(source), out, **settings)
