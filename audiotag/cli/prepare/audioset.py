"""`audiotag prepare audioset`."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.prepare import audioset_options, hub_or_folder, options
from audiotag.cli.options.types import Number
from audiotag.cli.prepare.run import prepare_source


@click.command()
@click.argument("source")
@options
@audioset_options
@click.option(
    "--source-rate",
    "rate",
    type=Number("hz", int, 1000, 384_000),
    help="Rate of the waveforms in HDF5 files that do not say it themselves.",
)
def audioset(
    source: str,
    out: Path,
    subsets: tuple[str, ...],
    classes: tuple[str, ...],
    metadata: Path | None,
    rate: int | None,
    **settings: Any,
) -> None:
    """Make a data set of a copy of AudioSet.

    SOURCE is a folder, a file or a Hub id; OUT is the data set. A folder has, or a file is one of:

    \b
      parquet files as in agkphysics/AudioSet on the Hub
      HDF5 files as PANNs or PaSST make them
      WebDataset tar files as in confit/audioset-16khz-wds on the Hub, or with
        YouTube ids for keys and the labels in Google's segment lists alone
      audio files named by YouTube id (a Y may stand before it, and the clip's
        times after it), with Google's segment lists; a folder only. Of a file
        that is longer than its segment, the listed seconds are taken

    The parquet files of a Hub id are downloaded into the Hub's cache.

    \b
    Example: audiotag prepare audioset audio/ data/audioset --metadata segments/
             audiotag prepare audioset agkphysics/AudioSet data/balanced --subset balanced
    """
    from audiotag.data.sources.audioset.open import open_audioset

    place = hub_or_folder(source, files=True)
    if place is None:
        from audiotag.data.sources.audioset.hub_download import download_audioset

        place = download_audioset(source, subsets)
    prepare_source(open_audioset(place, subsets, classes, metadata, rate), out, **settings)
