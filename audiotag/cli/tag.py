"""`audiotag tag`: what can be heard in audio files."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiotag.cli.options.inputs import input_options, named_files, recount, usage_errors
from audiotag.tagging.formats import FORMATS, TIMELINES

if TYPE_CHECKING:
    from audiotag.cli.progress.files import Progress
    from audiotag.tagging.outputs import Output, OutputPlan


@click.command()
@input_options
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Tags for each file at most; 0 for all.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Only tags that score this or more. Without it, labels count from the thresholds in the "
    "model folder on, where evaluate --fit-thresholds has put some; 0 passes over them.",
)
@click.option("--timeline", is_flag=True, help="Tags of each window, with times, as well.")
@click.option(
    "--pool",
    type=click.Choice(["max", "mean"]),
    default="max",
    show_default=True,
    help="A file's score: the highest of its windows' scores, or their mean.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="Without it, by the suffix of --output; jsonl for a folder; a table to read on screen.",
)
@click.option(
    "--output",
    type=click.Path(),
    help="A file; or a folder (one that exists, or a name with / at its end or no suffix), which "
    "gets a file for each input, in the same tree.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the output of an earlier run: only files not in it, and those that failed.",
)
def tag(
    paths: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    model: str | None,
    device: str,
    engine: str,
    precision: str,
    format: str | None,
    output: str | None,
    resume: bool,
    **options,
) -> None:
    """Tag audio: PATH is a file, a folder (searched to the bottom), or - for a list of paths on
    standard input. Files that cannot be decoded are named, and the rest is tagged.

    \b
    Example: audiotag tag ~/recordings
             audiotag tag ~/recordings --timeline --output tags.csv
             find . -name '*.mp3' | audiotag tag - --output tags.jsonl --resume
    """
    from audiotag.cli.progress.files import Progress, interruptible
    from audiotag.tagging.outputs import plan_output

    progress = Progress(recount(paths, include, exclude))
    with interruptible(progress, output):
        with usage_errors():
            plan = plan_output(paths, output, format, resume)
        files = named_files(paths, include, exclude)
        _run(files, plan, progress, (model, device, engine, precision), options)
    if output is not None:
        click.echo(f"{progress.summary()}: {output}", err=True)
    sys.exit(progress.exit_code)


def _run(
    files: Iterator[Path],
    plan: "OutputPlan",
    progress: "Progress",
    chosen: tuple[str | None, str, str, str],
    options: dict,
) -> None:
    from audiotag.cli.process import prepare_to_compute
    from audiotag.tagging.open import open_engine
    from audiotag.tagging.tag import TagOptions, tag_files

    options["timeline"] |= plan.format in TIMELINES
    engine = open_engine(*chosen)
    prepare_to_compute("cuda" if engine.is_gpu else "cpu")
    with _open(plan, engine.sample_rate) as out, progress:
        left = _left(files, out, progress)
        with closing(tag_files(engine, left, TagOptions(**options), progress.heard)) as results:
            for result in results:
                with progress.count(result.path, result.duration, result.error):
                    out.write(result)


def _open(plan: "OutputPlan", sample_rate: int) -> "Output":
    """The output; a terminal gets the table in colours."""
    if plan.target is None and plan.format == "table" and sys.stdout.isatty():
        from audiotag.cli.tables.tags import TerminalTable

        return TerminalTable()
    return plan.open(sample_rate)


def _left(files: Iterator[Path], out: "Output", progress: "Progress") -> Iterator[Path]:
    """The files that the output does not have yet."""
    for file in files:
        if out.has(file):
            progress.skip()
        else:
            yield file
