"""`audiotag prepare youtube`."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.prepare import LIMIT, audioset_options, share_options
from audiotag.cli.options.types import COUNT, FILE, NEW_FOLDER, Number
from audiotag.cli.prepare.run import chosen_share


@click.command()
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
    help="From the start of one download to the start of the next.",
)
@click.option(
    "--downloads",
    type=COUNT,
    default=4,
    show_default=True,
    help="Videos that are downloaded at once.",
)
@click.option("--again", is_flag=True, help="Try clips again that were gone.")
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

    Clips in the segment lists that FOLDER lacks are downloaded into it by yt-dlp, of each video
    only the clip's seconds. `prepare audioset` then takes FOLDER. Clips that are gone are listed in
    FOLDER/failures.jsonl and not tried again. After a run was stopped, the same command resumes it.
    Keep to YouTube's terms.

    \b
    Example: audiotag prepare youtube audio/ --subset balanced --metadata segments/
             audiotag prepare audioset audio/ data/balanced --metadata segments/
    """
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.sources.audioset.lists import segments_of_share
    from audiotag.data.sources.audioset.youtube import download

    share = chosen_share(num_shards, shard_index)
    segments = segments_of_share(folder, subsets, classes, metadata, share, limit)
    with interruptible(lambda: "Stopped; the same command resumes"), PrepareProgress() as progress:
        download(segments, folder, report=progress, **settings)
    click.echo(f"{folder}: what YouTube has of {len(segments):,} clips is there")
