"""`audiotag prepare hub`."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.prepare import hub_or_folder, options
from audiotag.cli.prepare.run import prepare_source


@click.command()
@click.argument("source")
@options
@click.option("--label", metavar="COLUMN", help="Column of the labels.  [default: by its name]")
@click.option("--audio", metavar="COLUMN", help="Column of the audio.  [default: by its type]")
@click.option("--config", metavar="NAME", help="Configuration, of those that the card names.")
def hub(
    source: str,
    out: Path,
    label: str | None,
    audio: str | None,
    config: str | None,
    **settings: Any,
) -> None:
    """Make a data set of one on the Hugging Face Hub.

    SOURCE is a Hub id, OWNER/NAME or OWNER/NAME@REVISION, or a folder; OUT is the data set. It has
    one of the layouts of the library datasets:

    \b
      parquet or Arrow files with a column of audio, and one of labels
      audio files with metadata.csv or metadata.jsonl, whose file_name names them
      audio files in a folder for each label, or train/LABEL, test/LABEL

    Splits are found by names such as train-00000-of-00001.parquet, folds in a column fold. No
    program of a data set is ever run.

    \b
    Example: audiotag prepare hub ashraq/esc50 data/esc50
             audiotag prepare hub folder/ data/mine --label species
    """
    from audiotag.data.sources.datasets.open import download_dataset, open_dataset

    place = hub_or_folder(source) or download_dataset(source, config)
    prepare_source(open_dataset(place, audio, label, config), out, **settings)
