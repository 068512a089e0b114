"""The `audiotag` command: a file for each sub-command, which is imported only when it runs.

In: a command line. Out: text on standard output, messages on standard error, an exit code. A
command parses its arguments, calls the library, and prints. Nothing below this room imports click
or rich.

- `options`: options that several commands share. `tables`: the tables they print. `progress`: the
  line on standard error while they run, and how they end when stopped.
- `process`: settings of the whole process. `standard_streams`, `say`: safe output.
"""

import importlib
import os
import sys
from typing import Any

import click

from audiotag.cli.process import name_user
from audiotag.cli.progress.interrupted import interruptible, requests_raised, what_is_next
from audiotag.cli.standard_streams import flushed, guard_standard_streams
from audiotag.errors import AudioTagError
from audiotag.runtime.escapes import visible
from audiotag.runtime.missing import explain_missing
from audiotag.runtime.version import __version__

COMMANDS = {
    "tag": "Tag audio files and folders.",
    "similar": "Find recordings that sound like an example.",
    "find": "Find recordings and sounds by label, in what tag wrote.",
    "clips": "Cut out the sounds that were found.",
    "listen": "Say what can be heard now: microphones, cameras, streams.",
    "embed": "Write embeddings of audio files.",
    "prepare": "Turn labelled recordings into a data set for training.",
    "data": "Say what a prepared data set holds.",
    "train": "Train a model from a recipe.",
    "finetune": "Adapt a model to your own labels.",
    "evaluate": "Measure a model on a prepared data set.",
    "push": "Share a model on the Hugging Face Hub.",
    "pull": "Get a model from the Hugging Face Hub.",
    "labels": "List the classes of a model, with their parents.",
    "models": "List the models that can be used or trained.",
    "convert": "Turn a published checkpoint into a model folder.",
    "export": "Write a model as an ONNX file.",
    "plot": "Draw a recording, or a model's kernels, training or mistakes.",
    "bench": "Measure how fast this machine is.",
}


class LazyGroup(click.Group):
    """A group of commands that imports the module of a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The click command with this name, from `audiotag.cli.<name>`."""
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"audiotag.cli.{name}"), name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a missing package or an interruption is reported in one sentence."""
        try:
            with interruptible(lambda: what_is_next(ctx.invoked_subcommand)):
                return super().invoke(ctx)
        except ModuleNotFoundError as error:
            message = explain_missing(error, f"audiotag {ctx.invoked_subcommand}")
            raise (click.ClickException(message) if message else error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="audiotag")
@click.option(
    "--verbose", is_flag=True, help="Show details of failures, such as the traceback of a bug."
)
def cli(verbose: bool) -> None:
    """Tag audio with DCLS models, and train such models.

    Example: audiotag tag ~/recordings
    """
    if verbose:
        import logging

        logging.basicConfig(format="%(message)s")
        logging.getLogger("audiotag").setLevel(logging.DEBUG)


def main() -> None:
    """Run the command line; an error a user can act on is one line and exit code 1."""
    guard_standard_streams()
    name_user()
    # No progress bars in log files: the Hub's client would draw its own there.
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        with requests_raised(), flushed():
            cli(prog_name="audiotag")
    except AudioTagError as error:
        lines = f"Error: {error}".splitlines()
        click.echo("\n".join(map(visible, lines)), err=True)
        sys.exit(1)
