"""`audiotag embed`: embeddings of audio files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.options.inputs import Computation, Inputs, input_options, usage_errors
from audiotag.cli.progress.interrupted import GO_ON, interruptible
from audiotag.cli.say import say
from audiotag.errors import AudioTagError

if TYPE_CHECKING:
    from audiotag.cli.progress.files import Progress


@click.command()
@input_options
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    required=True,
    metavar="FILE",
    help="File to write, which ends in .npz or .parquet.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Add to the output of an earlier run: embed only files that are not in it, and those that "
    "failed.",
)
def embed(
    inputs: Inputs, computation: Computation, output: str, resume: bool, **options: Any
) -> None:
    """Write embeddings of audio files.

    Each file has one embedding for each window, and their mean. PATH is a file, a folder (searched
    with its sub-folders), or - for standard input: the audio itself, or a list of paths, one a line
    or separated by NUL bytes. A file that cannot be decoded is named on standard error, and the
    others are done.

    FILE appears when it is complete, or when the run is stopped. Until then FILE.unfinished keeps
    each recording as soon as it is done, also if the run is killed or the disk is full. With
    --resume the same command resumes the run; no recording is lost or doubled. Model, window, hop,
    precision and version must be those of the earlier run, which FILE states.

    \b
    Example: audiotag embed ~/recordings --output recordings.npz
             audiotag embed ~/recordings --output recordings.npz --resume
    """
    from audiotag.cli.progress.files import Progress
    from audiotag.tagging.embeddings import check_output, embedding_file, made_with
    from audiotag.tagging.tag import TagOptions, embed_files

    progress, how = Progress(inputs.recount(), inputs.skipped), TagOptions(**options)
    with interruptible(lambda: progress.interruption(output, GO_ON)):
        with usage_errors():
            check_output(Path(output), resume)
        files, engine = inputs.files(), computation.open()
        made = made_with(engine, how)
        with _kept(progress, output), embedding_file(Path(output), made, resume) as out:
            left = progress.left(files, out.has)
            progress.follow(embed_files(engine, left, how, progress.heard), out.write)
    progress.report(output)
    sys.exit(progress.exit_code)


@contextmanager
def _kept(progress: "Progress", output: str) -> Iterator[None]:
    """If an error ends the run, say what is done."""
    try:
        yield
    except AudioTagError:
        if progress.done:
            say(f"{progress.summary()}, kept beside {output}; {GO_ON}")
        raise
