"""What every source of `audiotag prepare` goes through: its share is written and reported."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.prepare.verify import verify_data

if TYPE_CHECKING:
    from audiotag.data.recordings import Source
    from audiotag.runtime.shares import Share

SAME = "same settings from the same files"
STOPPED = "Stopped; the same command resumes after the last whole shard"


def prepare_source(
    source: "Source",
    out: Path,
    num_shards: int | None,
    shard_index: int | None,
    verified: bool,
    checked: bool,
    **settings: Any,
) -> None:
    """Prepare a source, say how it was read and what became of it, and verify it if wanted.

    Args:
        source: The recordings.
        out: The data set's folder.
        num_shards, shard_index: As the options.
        verified: Whether to verify the data set at the end.
        checked: Whether to compare a data set that is there with the recordings, instead.
        settings: As `data.prepare.prepare.prepare`.
    """
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.prepare.prepare import prepare
    from audiotag.data.shards import DATASET_FILE

    for note in source.notes:
        click.echo(note, err=True)
    if checked:
        _check(source, out, settings["workers"])
        return
    share = chosen_share(num_shards, shard_index)
    again = (out / DATASET_FILE).exists()
    with interruptible(lambda: STOPPED), PrepareProgress() as progress:
        prepare(source, out, share=share, report=progress, **settings)
    if again:
        click.echo(f"{out} is there already, made with the {SAME}: left as it is", err=True)
    if share.count == 1:
        report(out)
    else:
        click.echo(f"{out}: share {share.index} is done; audiotag prepare merge {out} joins all")
    if verified:
        verify_data(out, settings["workers"], share.index)


def _check(source: "Source", out: Path, workers: int | None) -> None:
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.cli.progress.prepare import PrepareProgress
    from audiotag.data.prepare.prepare import check_contents

    with interruptible(lambda: "Stopped"), PrepareProgress() as progress:
        different = check_contents(source, out, workers, progress)
    if not different:
        click.echo(f"{out}: all clips are those of the recordings")
        return
    for name in different:
        click.echo(name)
    click.echo(
        f"{len(different):,} of the recordings give other clips than {out} has; remove it and "
        "prepare them anew",
        err=True,
    )
    sys.exit(1)


def chosen_share(num_shards: int | None, shard_index: int | None) -> "Share":
    """The share that the options or the launcher's environment variables name."""
    from audiotag.runtime.shares import Share, find_share

    if (num_shards is None) != (shard_index is None):
        raise click.UsageError("--num-shards and --shard-index go together")
    share = find_share() if num_shards is None else Share(shard_index or 0, num_shards)
    if share.count > 1:
        click.echo(f"share {share.index} of the shares 0 to {share.count - 1}", err=True)
    return share


def report(out: Path) -> None:
    """Say what a data set has, and what was left out.

    Raises:
        DataError: If it has no clips.
    """
    from audiotag.data.info import read_info
    from audiotag.data.prepare.merge import why_empty
    from audiotag.data.recordings import DOUBTFUL
    from audiotag.data.shards import FAILURES_FILE
    from audiotag.errors import DataError

    info = read_info(out)
    click.echo(f"{out}: {info.clips:,} clips, {info.hours:.2f} hours, {info.labels:,} labels")
    kinds = [f"{count:,} {kind}" for kind, count in info.failures.items() if kind != DOUBTFUL]
    if kinds:
        click.echo(f"left out: {', '.join(kinds)}; see {out / FAILURES_FILE}", err=True)
    if count := info.failures.get(DOUBTFUL):
        click.echo(f"kept with a warning: {count:,}; see {out / FAILURES_FILE}", err=True)
    if not info.clips:
        raise DataError(f"{out} has no clips: {why_empty(out)}")
