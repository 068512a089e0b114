"""Options that `audiotag train` and `audiotag finetune` have in common."""

from collections.abc import Callable
from pathlib import Path

import click

OPTIONS = (
    click.option(
        "--data", required=True, type=click.Path(path_type=Path), help="Prepared data set."
    ),
    click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder."),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change the recipe; dcls=none and distill=none leave these sections out.",
    ),
    click.option(
        "--resume", is_flag=True, help="Go on from the last checkpoint in the run folder."
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
)


def training_options(command: Callable) -> Callable:
    """Add the options `data`, `out`, `overrides`, `resume` and `device` to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
