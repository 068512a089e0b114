"""`audiotag prepare`: a file for each kind of source, and for what is done with data sets."""

import click

from audiotag.cli.prepare.audioset import audioset
from audiotag.cli.prepare.collections import esc50, fsd50k, urbansound8k
from audiotag.cli.prepare.hub import hub
from audiotag.cli.prepare.merge import merge
from audiotag.cli.prepare.own import csv_, folder
from audiotag.cli.prepare.verify import verify
from audiotag.cli.prepare.youtube import youtube


@click.group()
def prepare() -> None:
    """Turn labelled recordings into a data set for training.

    After a run was stopped or killed, the same command resumes it.

    \b
    Example: audiotag prepare folder sounds/ data/sounds
             audiotag prepare hub ashraq/esc50 data/esc50
    """


for command in (
    *(folder, csv_, hub, audioset, youtube),
    *(esc50, urbansound8k, fsd50k, merge, verify),
):
    prepare.add_command(command)
