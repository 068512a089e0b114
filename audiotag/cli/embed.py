"""`audiotag embed`: embeddings of audio files."""

import sys
from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.inputs import Computation, Inputs, input_options, usage_errors


@click.command()
@input_options
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    required=True,
    metavar="FILE",
    help="File to write, which ends in .npz or .parquet.",
)
def embed(inputs: Inputs, computation: Computation, output: str, **options: Any) -> None:
    """Write embeddings of audio files.

    Each file has one embedding for each window, and their mean. PATH is a file, a folder, which is
    searched with its sub-folders, or - for standard input: the audio itself, or a list of paths,
    one a line or with NUL bytes between them. The output appears when it is complete; a file that
    exists is not replaced.

    \b
    Example: audiotag embed ~/recordings --output recordings.npz
    """
    from audiotag.cli.progress.files import Progress
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.tagging.embeddings import check_output, embedding_file
    from audiotag.tagging.tag import TagOptions, embed_files

    progress = Progress(inputs.recount(), inputs.skipped)
    with interruptible(lambda: progress.interruption(output)):
        with usage_errors():
            check_output(Path(output))
        files, engine = inputs.files(), computation.open()
        with embedding_file(Path(output)) as out:
            results = embed_files(engine, files, TagOptions(**options), progress.heard)
            progress.follow(results, out.write)
    progress.report(output)
    sys.exit(progress.exit_code)
