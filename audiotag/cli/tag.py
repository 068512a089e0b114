"""`audiotag tag`: the tags of audio files."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.options.events import LABEL, event_options
from audiotag.cli.options.inputs import Computation, Inputs, input_options, usage_errors
from audiotag.cli.options.types import COUNT_OR_NONE, Number
from audiotag.cli.progress.interrupted import GO_ON, interruptible
from audiotag.cli.say import say
from audiotag.tagging.formats import FORMATS, TIMELINES

if TYPE_CHECKING:
    from audiotag.audio.in_memory import Input
    from audiotag.cli.progress.files import Progress
    from audiotag.models.engine import Engine
    from audiotag.tagging.outputs import Output, OutputPlan
    from audiotag.tagging.tag import TagOptions


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
    help="Only tags with at least this score, from 0 to 1; 0 for all. Without it, each class has "
    "its threshold in the model, if any (see evaluate --fit-thresholds). If no tag reaches it, the "
    "best one is given as a guess.",
)
@LABEL
@click.option(
    "--guesses",
    is_flag=True,
    help="Write guesses into the formats for other programs too: audacity and raven.",
)
@click.option("--timeline", is_flag=True, help="Give the tags of each window too, with its times.")
@click.option(
    "--events",
    is_flag=True,
    help="Say when each sound begins and ends. Windows of 2 s overlap for it, which takes some "
    "eight times as long as windows of 10 s.",
)
@event_options
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
    "-o",
    type=click.Path(),
    metavar="FILE|FOLDER",
    help="Where results go. A folder (one that exists, or a name that ends in / or has no suffix) "
    "gets a file for each recording, in the same tree; - is standard output, the default. Beside "
    "the output, FILE.audiotag.json (in a folder _audiotag.json) says what it was made with.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Add to the output of an earlier run: tag only files that are not in it, and those that "
    "failed. Model and options must be those of the earlier run.",
)
@click.option(
    "--no-spectrogram",
    is_flag=True,
    help="Leave out the spectrograms of a page (html).",
)
@click.option(
    "--no-preview",
    is_flag=True,
    help="Leave out the copies, beside a page, of recordings that browsers do not play: FLAC, some "
    "100 MB an hour.",
)
@click.option(
    "--csv-bom",
    is_flag=True,
    help="Begin a csv with a byte order mark, by which Excel recognises UTF-8.",
)
def tag(
    inputs: Inputs,
    computation: Computation,
    format: str | None,
    output: str | None,
    resume: bool,
    csv_bom: bool,
    guesses: bool,
    no_spectrogram: bool,
    no_preview: bool,
    **options: Any,
) -> None:
    """Say what can be heard in audio files.

    PATH is a file, a folder (searched with its sub-folders), or - for standard input: the audio
    itself, or a list of paths, one a line or separated by NUL bytes. A file that cannot be decoded
    is named on standard error, and the others are tagged.

    \b
    Example: audiotag tag ~/recordings
             audiotag tag ~/recordings --timeline --output tags.csv
             audiotag tag night.wav --events --label Dog --output barks.srt
             audiotag tag ~/recordings --label Dog --label Bird
             find . -name '*.mp3' -print0 | audiotag tag - --output tags.jsonl --resume
             curl -L https://example.org/dawn.mp3 | audiotag tag -
    """
    from audiotag.cli.progress.files import Progress
    from audiotag.tagging.outputs import plan_output

    progress = Progress(inputs.recount(), inputs.skipped)
    with usage_errors():
        plan = plan_output(inputs.paths, output, format, resume, csv_bom, inputs.is_audio_piped)
        plan = replace(plan, guesses=guesses, previews=not no_preview)
    kept = None if plan.target is None else str(plan.target)
    with interruptible(lambda: progress.interruption(kept, GO_ON if plan.is_resumable else "")):
        options["spectrogram"] = plan.format == "html" and not no_spectrogram
        options["timeline"] |= plan.format in TIMELINES and not options["events"]
        _run(inputs.files(), plan, progress, computation, options)
    progress.report(kept)
    sys.exit(progress.exit_code)


def _run(
    files: Iterator["Input"],
    plan: "OutputPlan",
    progress: "Progress",
    computation: Computation,
    options: dict[str, Any],
) -> None:
    from audiotag.tagging.tag import TagOptions, tag_files

    with usage_errors():
        how = TagOptions(**options)
    engine = computation.open()
    with usage_errors():
        engine.labels.within(how.label)
    with _open(plan, engine, how) as out:
        results = tag_files(engine, progress.left(files, out.has), how, progress.heard)
        progress.follow(results, out.write)


def _open(
    plan: "OutputPlan", engine: "Engine", options: "TagOptions"
) -> AbstractContextManager["Output"]:
    """Open the output; on a terminal, the table has colours."""
    if plan.target is None and plan.format == "table" and sys.stdout.isatty():
        from audiotag.cli.tables.tags import TerminalTable

        return TerminalTable()
    return plan.open(engine, options, lambda text: say(f"warning: {text}"))
