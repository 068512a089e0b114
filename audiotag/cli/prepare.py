"""`audiotag prepare`: make data sets from labelled recordings."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.options.prepare import (
    LIMIT,
    OUT,
    VERIFY,
    audioset_options,
    options,
    share_options,
)
from audiotag.cli.options.types import COUNT, FILE, FOLDER, NEW_FOLDER, Number

if TYPE_CHECKING:
    from audiotag.data.recordings import Source
    from audiotag.runtime.shares import Share
STOPPED = "Stopped; the same command resumes after the last whole shard"


@click.group()
def prepare() -> None:
    """Turn labelled recordings into a data set for training.

    After a run was stopped or killed, the same command resumes it.

    \b
    Example: audiotag prepare folder sounds/ data/sounds
             audiotag prepare audioset audio/ data/audioset --subset balanced
    """


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def folder(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of a folder, a sub-folder for each label.

    The recordings in SOURCE/LABEL become clips of the data set OUT. If the folders in SOURCE are
    called train, val, test or the like, they are its splits, as in SOURCE/train/LABEL.

    Example: audiotag prepare folder sounds/ data/sounds
    """
    from audiotag.data.sources.folder import FolderSource

    found = FolderSource(source)
    for name, split in found.splits.items():
        click.echo(f"{source / name} is the split {split}; its folders are the labels", err=True)
    _prepare(found, out, **settings)


@prepare.command(name="csv")
@click.argument("source", type=FILE)
@options
def csv_(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of the recordings that a table lists.

    SOURCE is a CSV file with the columns path and label (several labels joined by ;), and
    optionally split, fold, group, start and end (in seconds); OUT is the data set. Without a split,
    recordings are divided by a hash of their group, or, without a group, of their path.

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
    **settings: Any,
) -> None:
    """Make a data set of a copy of AudioSet.

    SOURCE is a folder, a file or a Hub id; OUT is the data set. A folder has, or a file is one of:

    \b
      parquet files as in agkphysics/AudioSet on the Hub
      HDF5 files as PANNs or PaSST make them
      WebDataset tar files as in confit/audioset-16khz-wds on the Hub
      audio files named by YouTube id (a Y may stand before it, and the clip's
        times after it), with Google's segment lists; a folder only

    The parquet files of a Hub id are downloaded into the Hub's cache.

    \b
    Example: audiotag prepare audioset audio/ data/audioset --metadata segments/
             audiotag prepare audioset agkphysics/AudioSet data/balanced --subset balanced
    """
    from audiotag.data.sources.audioset.open import open_audioset

    place = _place_of_audioset(source, subsets)
    _prepare(open_audioset(place, subsets, classes, metadata), out, **settings)


def _place_of_audioset(source: str, subsets: tuple[str, ...]) -> Path:
    """A folder or file unchanged; else the downloaded Hub data set with that name."""
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
@click.argument("folder", type=NEW_FOLDER)
@audioset_options
@LIMIT
@share_options
@click.option("--cookies", type=FILE, help="A browser's cookies, in Netscape's file format.")
@click.option(
    "--pause",
    type=Number("seconds", float, 0),
    default=1.0,
    show_default=True,
    help="Time from the start of one download to the start of the next.",
)
@click.option(
    "--downloads",
    type=COUNT,
    default=4,
    show_default=True,
    help="Videos that are downloaded at once.",
)
@click.option("--again", is_flag=True, help="Also try clips again that were gone.")
def youtube(
    folder: Path,
    subsets: tuple[str, ...],
    classes: tuple[str, ...],
    metadata: Path | None,
    limit: int | None,
    num_shards: int | None,
    shard_index: int | None,
    **settings: Any,
) -> None:
    """Download AudioSet's clips from YouTube.

    Clips in the segment lists that FOLDER lacks are downloaded into it by yt-dlp, only the clip's
    seconds of each video. Then give FOLDER to `prepare audioset`. Clips that are gone are listed in
    FOLDER/failures.jsonl and not tried again. After a run was stopped, the same command resumes it.
    Keep to YouTube's terms.

    \b
    Example: audiotag prepare youtube audio/ --subset balanced --metadata segments/
             audiotag prepare audioset audio/ data/balanced --metadata segments/
    """
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.sources.audioset.open import segments_of_share
    from audiotag.data.sources.audioset.youtube import download

    share = _share(num_shards, shard_index)
    segments = segments_of_share(folder, subsets, classes, metadata, share, limit)
    with interruptible(lambda: "Stopped; the same command resumes"), PrepareProgress() as progress:
        download(segments, folder, report=progress, **settings)
    click.echo(f"{folder}: what YouTube has of {len(segments):,} clips is there")


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def esc50(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of ESC-50, with its five folds.

    SOURCE is the folder that ESC-50 was unpacked into; OUT is the data set.

    Example: audiotag prepare esc50 ESC-50-master data/esc50
    """
    from audiotag.data.sources.esc50 import open_esc50

    _prepare(open_esc50(source), out, **settings)


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def urbansound8k(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of UrbanSound8K, with its ten folds.

    SOURCE is the folder that UrbanSound8K was unpacked into; OUT is the data set.

    Example: audiotag prepare urbansound8k UrbanSound8K data/urbansound8k
    """
    from audiotag.data.sources.urbansound8k import open_urbansound8k

    _prepare(open_urbansound8k(source), out, **settings)


@prepare.command()
@click.argument("source", type=FOLDER)
@options
def fsd50k(source: Path, out: Path, **settings: Any) -> None:
    """Make a data set of FSD50K, with its splits.

    SOURCE is the folder that FSD50K was unpacked into; OUT is the data set.

    Example: audiotag prepare fsd50k FSD50K data/fsd50k
    """
    from audiotag.data.sources.fsd50k import open_fsd50k

    _prepare(open_fsd50k(source), out, **settings)


@prepare.command()
@OUT
@VERIFY
def merge(out: Path, verified: bool) -> None:
    """Join the shares of several machines into one data set.

    Each share was written into OUT by a command with --num-shards.

    Example: audiotag prepare merge data/audioset
    """
    from audiotag.data.prepare.merge import merge

    _report(merge(out))
    if verified:
        _verify(out, None)


@prepare.command()
@click.argument("folder", type=FOLDER)
@click.option("--workers", type=COUNT, help="Shards read at once.  [default: one for each core]")
def verify(folder: Path, workers: int | None) -> None:
    """Compare every clip of a data set with the index.

    Damaged clips and files are named, and the exit code is then 1.

    Example: audiotag prepare verify data/audioset
    """
    _verify(folder, workers)


def _prepare(
    source: "Source",
    out: Path,
    num_shards: int | None,
    shard_index: int | None,
    verified: bool,
    **settings: Any,
) -> None:
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.prepare.prepare import prepare
    from audiotag.data.shards import DATASET_FILE

    share = _share(num_shards, shard_index)
    again = (out / DATASET_FILE).exists()
    with interruptible(lambda: STOPPED), PrepareProgress() as progress:
        prepare(source, out, share=share, report=progress, **settings)
    if again:
        click.echo(f"{out} is there already, made with the same settings: left as it is", err=True)
    if share.count == 1:
        _report(out)
    else:
        click.echo(f"{out}: share {share.index} is done; audiotag prepare merge {out} joins all")
    if verified:
        _verify(out, settings["workers"], share.index)


def _share(num_shards: int | None, shard_index: int | None) -> "Share":
    """The share that the options or the launcher's environment variables name."""
    from audiotag.runtime.shares import Share, find_share

    if (num_shards is None) != (shard_index is None):
        raise click.UsageError("--num-shards and --shard-index go together")
    share = find_share() if num_shards is None else Share(shard_index or 0, num_shards)
    if share.count > 1:
        click.echo(f"share {share.index} of the shares 0 to {share.count - 1}", err=True)
    return share


def _report(out: Path) -> None:
    from audiotag.data.info import read_info
    from audiotag.data.recordings import DOUBTFUL
    from audiotag.data.shards import FAILURES_FILE

    info = read_info(out)
    click.echo(f"{out}: {info.clips:,} clips, {info.hours:.2f} hours, {info.labels:,} labels")
    kinds = [f"{count:,} {kind}" for kind, count in info.failures.items() if kind != DOUBTFUL]
    if kinds:
        click.echo(f"left out: {', '.join(kinds)}; see {out / FAILURES_FILE}", err=True)
    if count := info.failures.get(DOUBTFUL):
        click.echo(f"kept with a warning: {count:,}; see {out / FAILURES_FILE}", err=True)


def _verify(out: Path, workers: int | None, rank: int | None = None) -> None:
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
