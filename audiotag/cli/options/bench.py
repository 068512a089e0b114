"""Options that the commands of `audiotag bench` share, and the flags of earlier versions."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from audiotag.cli.options.types import COUNT, FOLDER

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
THREADS = click.option(
    "--threads",
    type=COUNT,
    help="CPU threads that compute.  [default: OMP_NUM_THREADS, or one for each core]",
)
# The old flags. The rest of the line goes to the command that replaces them.
OLD_FLAGS = click.Command(
    "bench",
    params=[
        click.Option(["--train"], is_flag=True),
        click.Option(["--kernel"], is_flag=True),
        click.Option(["--files"], type=COUNT),
        click.Option(["--data"], type=FOLDER),
        click.Argument(["rest"], nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED),
    ],
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)


def runs_option(default: int) -> Callable:
    """The option for how often each is measured."""
    return click.option(
        "--runs", type=COUNT, default=default, show_default=True, help="How often each is measured."
    )


def in_new_form(ctx: click.Context, arguments: Sequence[str]) -> list[str]:
    """A command line without a sub-command, in the form that has one: `--files 500` becomes
    `files --count 500`, and names of models alone `models NAME...`.

    Raises:
        click.UsageError: If two of the old flags are given.
    """
    given = OLD_FLAGS.make_context(ctx.info_name, list(arguments), ctx.parent).params
    commands: dict[str, list[Any]] = {
        "train": ["models", "--train"],
        "kernel": ["kernels"],
        "files": ["files", "--count", given["files"]],
        "data": ["data", given["data"]],
    }
    chosen = [command for flag, command in commands.items() if given[flag]]
    if len(chosen) > 1:
        raise click.UsageError(
            "--train, --kernel, --files and --data measure different things; give one", ctx
        )
    command = chosen[0] if chosen else ["models"]
    return [*map(str, command), *given["rest"]]
