"""`audiotag prepare`."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiotag.cli.options.prepare import (
    FILE,
    FOLDER,
    LIMIT,
    OUT,
    VERIFY,
    audioset_options,
    options,
    share_options,
)

if TYPE_CHECKING:
    from audiotag.data.recordings import Source
    from audiotag.runtime.shares import Share

INTERRUPTED = 130  # exit code of a program that Ctrl-C ended, by convention


@click.group()
def prepare() -> None:
    """Turn labelled recordings into a data set for training.

    A run that was ended, even killed, resumes when the same command is given again.

    \b
    Example: audiotag prepare folder sounds/ data/sounds
             audiotag prepare audioset audio/ data/audioset --subset balanced
    """


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def folder(source: Path, out: Path, **settings) -> None:
    """Recordings in SOURCE, one sub-folder a class, to the data set OUT.

    Example: audiotag prepare folder sounds/ data/sounds
    """
    from audiotag.data.sources.folder import FolderSource

    _prepare(FolderSource(source), out, **settings)


@prepare.command(name="csv")
@click.argument("source", type=FILE)
@options
def csv_(source: Path, out: Path, **settings) -> None:
    """Recordings listed in the table SOURCE to the data set OUT.

    Columns: path, label (several joined by ;), and if you have them split, fold, group, start, end
    (seconds). Without a split one is made by a hash of the group, or else of the path.

    Example: audiotag prepare csv clips.csv data/clips
    """
    from audiotag.data.sources.csv_table import CsvSource

    _prepare(CsvSource(source), out, **settings)


@prepare.command()
@click.argument("source")
@options
@audioset_options
def audioset(
    source: str,
    out: Path,
    subsets: tuple[str, ...],
    classes: tuple[str, ...],
    metadata: Path | None,
    **settings,
) -> None:
    """AudioSet, from what SOURCE has of it, to the data set OUT.

    That is parquet files as in the Hub's agkphysics/AudioSet, HDF5 files as PANNs or PaSST make
    them, WebDataset tars as confit/audioset-16khz-wds has them, or audio files named by YouTube
    id, with a Y before it or the clip's times after it, and the segment lists. SOURCE is their
    folder, or one parquet, HDF5 or tar file; a Hub id has its parquet files downloaded into the
    Hub's cache.

    \b
    Example: audiotag prepare audioset audio/ data/audioset --metadata segments/
             audiotag prepare audioset agkphysics/AudioSet data/balanced --subset balanced
    """
    from audiotag.data.sources.audioset.open import open_audioset

    place = _place_of_audioset(source, subsets)
    _prepare(open_audioset(place, subsets, classes, metadata), out, **settings)


def _place_of_audioset(source: str, subsets: tuple[str, ...]) -> Path:
    """A folder or file as it is; else the Hub data set of that name, downloaded."""
    if Path(source).exists():
        return Path(source)
    from audiotag.tagging.locate import HUB_ID

    if not HUB_ID.fullmatch(source) or source.startswith("."):
        raise click.BadParameter(
            f"{source} is neither a folder, a file nor a Hub id", param_hint="SOURCE"
        )
    from audiotag.data.sources.audioset.hub_download import download_audioset

    return download_audioset(source, subsets)


@prepare.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@audioset_options
@LIMIT
@share_options
@click.option("--cookies", type=FILE, help="Cookies of a browser, a file in Netscape's format.")
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Seconds from one video to the next.",
)
@click.option(
    "--downloads",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="How many videos are downloaded at once.",
)
@click.option("--again", is_flag=True, help="Ask for clips again that were gone.")
def youtube(
    folder: Path,
    subsets: tuple[str, ...],
    classes: tuple[str, ...],
    metadata: Path | None,
    limit: int | None,
    num_shards: int | None,
    shard_index: int | None,
    **settings,
) -> None:
    """Download what FOLDER lacks of AudioSet's clips from YouTube, for `prepare audioset`.

    Of each video in the segment lists only the clip's seconds are fetched, by yt-dlp. A run that
    was ended resumes when the same command is given again. FOLDER's failures.jsonl lists what is
    gone; it is not asked for again. Keep to YouTube's terms.

    \b
    Example: audiotag prepare youtube audio/ --subset balanced --metadata segments/
             audiotag prepare audioset audio/ data/balanced --metadata segments/
    """
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.sources.audioset.open import listed_segments
    from audiotag.data.sources.audioset.youtube import download

    lists = (folder, subsets, classes, metadata)
    size = sum(1 for _ in listed_segments(*lists))
    first, last = _share(num_shards, shard_index).span(size if limit is None else min(limit, size))
    segments = (segment for _, segment in islice(listed_segments(*lists), first, last))
    try:
        with PrepareProgress() as progress:
            download(segments, folder, report=progress, **settings)
    except KeyboardInterrupt:
        click.echo("Stopped; the same command resumes", err=True)
        sys.exit(INTERRUPTED)
    click.echo(f"{folder}: what YouTube has of {last - first:,} clips is there")


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def esc50(source: Path, out: Path, **settings) -> None:
    """ESC-50, as unpacked into SOURCE, to the data set OUT, with its five folds.

    Example: audiotag prepare esc50 ESC-50-master data/esc50
    """
    from audiotag.data.sources.esc50 import open_esc50

    _prepare(open_esc50(source), out, **settings)


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def urbansound8k(source: Path, out: Path, **settings) -> None:
    """UrbanSound8K, as unpacked into SOURCE, to the data set OUT, with its ten folds.

    Example: audiotag prepare urbansound8k UrbanSound8K data/urbansound8k
    """
    from audiotag.data.sources.urbansound8k import open_urbansound8k

    _prepare(open_urbansound8k(source), out, **settings)


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def fsd50k(source: Path, out: Path, **settings) -> None:
    """FSD50K, as unpacked into SOURCE, to the data set OUT, with its splits.

    Example: audiotag prepare fsd50k FSD50K data/fsd50k
    """
    from audiotag.data.sources.fsd50k import open_fsd50k

    _prepare(open_fsd50k(source), out, **settings)


@prepare.command()
@OUT
@VERIFY
def merge(out: Path, verified: bool) -> None:
    """Join what several machines wrote into OUT (--num-shards) to one data set.

    Example: audiotag prepare merge data/audioset
    """
    from audiotag.data.prepare.merge import merge

    _report(merge(out))
    if verified:
        _verify(out, None)


@prepare.command()
@click.argument("folder", type=FOLDER)
@click.option("--workers", type=click.IntRange(1), help="Shards read at once.")
def verify(folder: Path, workers: int | None) -> None:
    """Read every clip of a data set and compare it with the index; exit code 1 on damage.

    Example: audiotag prepare verify data/audioset
    """
    _verify(folder, workers)


def _prepare(
    source: "Source",
    out: Path,
    num_shards: int | None,
    shard_index: int | None,
    verified: bool,
    **settings,
) -> None:
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.prepare.prepare import prepare
    from audiotag.data.shards import DATASET_FILE

    share = _share(num_shards, shard_index)
    again = (out / DATASET_FILE).exists()
    try:
        with PrepareProgress() as progress:
            prepare(source, out, share=share, report=progress, **settings)
    except KeyboardInterrupt:
        click.echo("Stopped; the same command resumes after the last whole shard", err=True)
        sys.exit(INTERRUPTED)
    if again:
        click.echo(f"{out} is there already, made with the same settings: left as it is", err=True)
    if share.count == 1:
        _report(out)
    else:
        click.echo(f"{out}: share {share.index} is done; audiotag prepare merge {out} joins all")
    if verified:
        _verify(out, settings["workers"], share.index)


def _share(num_shards: int | None, shard_index: int | None) -> "Share":
    """As the options say, or the launcher."""
    from audiotag.runtime.shares import Share, find_share

    if (num_shards is None) != (shard_index is None):
        raise click.UsageError("--num-shards and --shard-index go together")
    share = find_share() if num_shards is None else Share(shard_index or 0, num_shards)
    if share.count > 1:
        click.echo(f"share {share.index} of the shares 0 to {share.count - 1}", err=True)
    return share


def _report(out: Path) -> None:
    from audiotag.data.info import read_info
    from audiotag.data.shards import FAILURES_FILE

    info = read_info(out)
    click.echo(f"{out}: {info.clips:,} clips, {info.hours:.2f} hours, {info.labels:,} labels")
    if info.failures:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in info.failures.items())
        click.echo(f"left out: {kinds}; see {out / FAILURES_FILE}", err=True)


def _verify(out: Path, workers: int | None, rank: int | None = None) -> None:
    from audiotag.data.prepare.verify import verify

    clips = damages = 0
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    for checked in verify(out, workers, rank):
        clips += checked.clips
        damages += len(checked.damages)
        if clear:
            click.echo(f"{clear}{checked.file}, {clips:,} clips read", err=True, nl=False)
        for damage in checked.damages:
            clip = f", clip {damage.key}" if damage.key else ""
            click.echo(f"{clear}{damage.file}{clip}: {damage.reason}", err=True)
    click.echo(clear, err=True, nl=False)
    if damages:
        places = "one place" if damages == 1 else f"{damages:,} places"
        click.echo(f"{out} is damaged in {places}: copy or prepare it anew", err=True)
        sys.exit(1)
    click.echo(f"{out}: {clips:,} clips, all as they were written")
