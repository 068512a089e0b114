"""`audiotag prepare`."""

import os
from pathlib import Path

import click

OPTIONS = (
    click.option("--sample-rate", default=32_000, show_default=True, help="Hz."),
    click.option("--clip-seconds", default=10.0, show_default=True, help="Longest clip."),
    click.option("--workers", type=int, default=os.cpu_count, help="Threads that decode."),
)


@click.group()
def prepare() -> None:
    """Turn labelled recordings into a data set for training.

    Example: audiotag prepare folder sounds/ data/sounds
    """


def _options(command):
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@prepare.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@_options
def folder(source: Path, out: Path, **options) -> None:
    """Recordings in SOURCE, one sub-folder a class, to the data set OUT.

    Example: audiotag prepare folder sounds/ data/sounds
    """
    from audiotag.data import prepare

    _report(prepare.prepare(prepare.from_folder(source), out, **options))


@prepare.command(name="csv")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@_options
def from_csv(source: Path, out: Path, **options) -> None:
    """Recordings listed in the table SOURCE to the data set OUT.

    Columns: path, label (several joined by ;), and if you have them split, fold, group, start, end.

    Example: audiotag prepare csv clips.csv data/clips
    """
    from audiotag.data import prepare

    _report(prepare.prepare(prepare.from_csv(source), out, **options))


def _report(out: Path) -> None:
    import json

    from audiotag.data.shards import DATASET_FILE, FAILURES_FILE

    summary = json.loads((out / DATASET_FILE).read_text(encoding="utf-8"))
    click.echo(f"{out}: {summary['clips']} clips, {summary['hours']:.2f} hours")
    if summary["failures"]:
        click.echo(f"{summary['failures']} not taken, see {out / FAILURES_FILE}", err=True)
