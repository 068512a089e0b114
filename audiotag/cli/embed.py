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
    help="FILE.npz or FILE.parquet.",
)
def embed(inputs: Inputs, computation: Computation, output: str, **options: Any) -> None:
    """Write embeddings of audio: one for each file (the mean of its windows') and one for each
    window. PATH is a file, a folder (searched to the bottom), or - for a list of paths on standard
    input. The output appears when it is whole, and replaces nothing.

    \b
    Example: audiotag embed ~/recordings --output recordings.npz
    """
    from audiotag.cli.progress.files import Progress
    from audiotag.cli.progress.interrupted import interruptible
    from audiotag.tagging.embeddings import check_output, embedding_file
    from audiotag.tagging.tag import TagOptions, embed_files

    progress = Progress(inputs.recount())
    with interruptible(lambda: progress.interruption(output)):
        with usage_errors():
            check_output(Path(output))
        files, engine = inputs.files(), computation.open()
        with embedding_file(Path(output)) as out:
            results = embed_files(engine, files, TagOptions(**options), progress.heard)
            progress.follow(results, out.write)
    click.echo(f"{progress.summary()}: {output}", err=True)
    sys.exit(progress.exit_code)
