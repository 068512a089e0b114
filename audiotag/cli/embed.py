"""`audiotag embed`: embeddings of audio files."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiotag.cli.options.inputs import input_options, named_files, recount, usage_errors

if TYPE_CHECKING:
    from audiotag.cli.progress.files import Progress


@click.command()
@input_options
@click.option(
    "--output", type=click.Path(dir_okay=False), required=True, help="FILE.npz or FILE.parquet."
)
def embed(
    paths: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    model: str | None,
    device: str,
    engine: str,
    precision: str,
    output: str,
    **options,
) -> None:
    """Write embeddings of audio: one for each file (the mean of its windows') and one for each
    window. PATH is a file, a folder (searched to the bottom), or - for a list of paths on standard
    input. The output appears when it is whole, and replaces nothing.

    \b
    Example: audiotag embed ~/recordings --output recordings.npz
    """
    from audiotag.cli.progress.files import Progress, interruptible
    from audiotag.tagging.embeddings import check_output

    progress = Progress(recount(paths, include, exclude))
    with interruptible(progress, output):
        with usage_errors():
            check_output(Path(output))
        files = named_files(paths, include, exclude)
        _run(files, Path(output), progress, (model, device, engine, precision), options)
    click.echo(f"{progress.summary()}: {output}", err=True)
    sys.exit(progress.exit_code)


def _run(
    files: Iterator[Path],
    output: Path,
    progress: "Progress",
    chosen: tuple[str | None, str, str, str],
    options: dict,
) -> None:
    from audiotag.cli.process import prepare_to_compute
    from audiotag.tagging.embeddings import embedding_file
    from audiotag.tagging.open import open_engine
    from audiotag.tagging.tag import TagOptions, embed_files

    engine = open_engine(*chosen)
    prepare_to_compute("cuda" if engine.is_gpu else "cpu")
    with embedding_file(output) as out, progress:
        results = embed_files(engine, files, TagOptions(**options), progress.heard)
        with closing(results):
            for result in results:
                with progress.count(result.path, result.duration, result.error):
                    out.write(result)
