"""Options that `audiotag train` and `audiotag finetune` have in common."""

from collections.abc import Callable
from pathlib import Path

import click

from audiotag.cli.options import with_options
from audiotag.cli.options.device import DEVICE

OPTIONS = (
    click.option(
        "--data",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Prepared data set.",
    ),
    click.option(
        "--out",
        "--output",
        "-o",
        "out",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Run folder: where weights, recipe and metrics go.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a value of the recipe; may be given several times. dcls=none and "
        "distill=none leave these sections out.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Resume from the last checkpoint in the run folder; where it holds no run yet, start "
        "one.",
    ),
    DEVICE,
)


def training_options(command: Callable) -> Callable:
    """Add the options `data`, `out`, `overrides`, `resume` and `device` to a command."""
    return with_options(OPTIONS, command)
