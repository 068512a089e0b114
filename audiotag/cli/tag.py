"""`audiotag tag`: what can be heard in audio files."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.options.inputs import Computation, Inputs, input_options, usage_errors
from audiotag.cli.options.types import COUNT_OR_NONE, Number
from audiotag.tagging.formats import FORMATS, TIMELINES

if TYPE_CHECKING:
    from audiotag.audio.in_memory import Input
    from audiotag.cli.progress.files import Progress
    from audiotag.tagging.outputs import Output, OutputPlan


@click.command()
@input_options
@click.option(
    "--top-k",
    type=COUNT_OR_NONE,
    default=5,
    show_default=True,
    help="At most NUMBER tags for each file and window; 0 for all.",
)
@click.option(
    "--threshold",
    type=Number("score", float, 0, 1),
    help="Only tags with this score, from 0 to 1, or more; 0 for all. Without it, each class has "
    "the threshold that the model holds for it, if any (see evaluate --fit-thresholds).",
)
@click.option("--timeline", is_flag=True, help="Give the tags of each window too, with its times.")
@click.option(
    "--pool",
    type=click.Choice(["max", "mean"]),
    default="max",
    show_default=True,
    help="A file's score for a class: the highest of its windows' scores, or their mean.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="[default: by the suffix of --output; jsonl if that is a folder; table without --output]",
)
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE|FOLDER",
    help="Where results go. A folder (one that exists, or a name that ends in / or has no suffix) "
    "gets a file for each recording, in the same tree.  [default: standard output]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Add to the output of an earlier run: tag only files that are not in it, and those that "
    "failed.",
)
def tag(
    inputs: Inputs,
    computation: Computation,
    format: str | None,
    output: str | None,
    resume: bool,
    **options: Any,
) -> None:
    """Say what can be heard in audio files.

    PATH is a file, a folder, which is searched with its sub-folders, or - for standard input: the
    audio itself, or a list of paths, one a line or with NUL bytes between them. A file that cannot
    be decoded is named on standard error, and the rest are tagged.

    \b
    Example: audiotag tag ~/recordings
             audiotag tag ~/recordings --timeline --output tags.csv
             find . -name '*.mp3' -print0 | audiotag tag - --output tags.jsonl --resume
             curl -L https://example.org/dawn.mp3 | audiotag tag -
    """
    from audiotag.cli.progress.files import Progress
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.tagging.outputs import plan_output

    progress = Progress(inputs.recount())
    with interruptible(lambda: progress.interruption(output)):
        with usage_errors():
            plan = plan_output(inputs.paths, output, format, resume)
        options["timeline"] |= plan.format in TIMELINES
        _run(inputs.files(), plan, progress, computation, options)
    if output is not None:
        click.echo(f"{progress.summary()}: {output}", err=True)
    sys.exit(progress.exit_code)


def _run(
    files: Iterator["Input"],
    plan: "OutputPlan",
    progress: "Progress",
    computation: Computation,
    options: dict[str, Any],
) -> None:
    from audiotag.tagging.tag import TagOptions, tag_files

    engine = computation.open()
    with _open(plan, engine.sample_rate) as out:
        left = progress.left(files, out.has)
        results = tag_files(engine, left, TagOptions(**options), progress.heard)
        progress.follow(results, out.write)


def _open(plan: "OutputPlan", sample_rate: int) -> "Output":
    """The output; a terminal gets the table in colours."""
    if plan.target is None and plan.format == "table" and sys.stdout.isatty():
        from audiotag.cli.tables.tags import TerminalTable

        return TerminalTable()
    return plan.open(sample_rate)
