"""`audiotag prepare merge`."""

from pathlib import Path

import click

from audiotag.cli.options.prepare import OUT, VERIFY
from audiotag.cli.prepare.run import report
from audiotag.cli.prepare.verify import verify_data


@click.command()
@OUT
@VERIFY
def merge(out: Path, verified: bool) -> None:
    """Join the shares of several machines into one data set.

    Each share was written into OUT by a command with --num-shards.

    Example: audiotag prepare merge data/audioset
    """
    from audiotag.data.prepare.merge import merge

    report(merge(out))
    if verified:
        verify_data(out, None)
