"""`audiotag bench`: how fast models are on this machine."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiotag.runtime.version import __version__

if TYPE_CHECKING:
    from audiotag.benchmarks.models import Setting
    from audiotag.benchmarks.speed import ModelSpeed, SpeedTable

COUNT = click.IntRange(min=1)
# What `audiotag tag` imports before its model's.
TAG_MODULES = ("audiotag.cli", "audiotag.cli.tag", "audiotag.cli.progress.files")
SHORTEST = 2.0  # seconds; some architectures take no less


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--baseline",
    metavar="NAME",
    help="Compare all with this model, or with `package`: the same model with the layers of the "
    "dcls package. Without it, each DCLS model with its own 7x7 model.",
)
@click.option(
    "--peers",
    is_flag=True,
    help="Add EfficientAT mn04 and mn10, AST and PaSST-S; with --files, mn04 and YAMNet.",
)
@click.option("--train", is_flag=True, help="A training step instead of inference.")
@click.option("--kernel", is_flag=True, help="Instead: building DCLS kernels, and gradients.")
@click.option(
    "--files",
    type=COUNT,
    metavar="N",
    help="Instead: `audiotag tag` on N files of 10 s, and its cold start, on the CPU.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Instead: reading the clips of a prepared data set, beside HDF5 files of the same clips.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--dtype", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option(
    "--batch-size",
    "batch_sizes",
    type=COUNT,
    multiple=True,
    default=(4,),
    show_default=True,
    help="Clips at once; may be given several times.",
)
@click.option(
    "--seconds",
    "lengths",
    type=click.FloatRange(min=SHORTEST),
    multiple=True,
    default=(10.0,),
    show_default=True,
    help="Length of a clip; may be given several times.",
)
@click.option("--threads", type=COUNT, help="CPU threads; without it, one for each core.")
@click.option(
    "--runs", type=COUNT, help="Times each is measured.  [default: 10; 3 of files, 5 of data]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw throughput against batch size or clip length where several are given, else "
    "published mAP against throughput.",
)
def bench(
    models: tuple[str, ...],
    baseline: str | None,
    peers: bool,
    train: bool,
    kernel: bool,
    files: int | None,
    data: Path | None,
    device: str,
    dtype: str,
    batch_sizes: tuple[int, ...],
    lengths: tuple[float, ...],
    threads: int | None,
    runs: int | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure MODELs on this machine, in turn, each after warming up: medians of time, and the
    peak of memory.

    MODEL is an architecture (see `audiotag models`; random weights, DCLS elements anywhere in
    their kernel), a model folder, or `default`. From maps to logits; with --files, from files to
    tags. Without MODEL: the DCLS models of arXiv 2309.13972 and the smallest ConvNeXt; with
    --files, `default`.

    \b
    Example: audiotag bench convnext_dcls_audio_atto --threads 2
             audiotag bench --peers --plot speed.png
             audiotag bench --files 500 --json
             audiotag bench --data data/mine
    """
    _check_usage(train, kernel, files, data, batch_sizes, lengths, plot)
    threads = threads or _cores()
    if files is not None:
        _files(models, files, threads, runs, peers, as_json)
        return
    if data is not None:
        _data(data, runs, as_json)
        return
    from audiotag.benchmarks.models import Setting
    from audiotag.cli.process import prepare_to_train
    from audiotag.runtime.devices import select_device

    where = select_device(device).type
    prepare_to_train(where)
    settings = [
        Setting(where, dtype, threads, batch_size, seconds, train)
        for batch_size, seconds in product(dict.fromkeys(batch_sizes), dict.fromkeys(lengths))
    ]
    if kernel:
        _kernels(settings[0], runs, as_json)
    else:
        _models(models, settings, baseline, peers, runs, as_json, plot)


def _check_usage(
    train: bool,
    kernel: bool,
    files: int | None,
    data: Path | None,
    batch_sizes: Sequence[int],
    lengths: Sequence[float],
    plot: Path | None,
) -> None:
    if sum((train, kernel, files is not None, data is not None)) > 1:
        raise click.UsageError(
            "--train, --kernel, --files and --data measure different things; give one"
        )
    if len(batch_sizes) > 1 and len(lengths) > 1:
        raise click.UsageError("give several --batch-size or several --seconds, not both")
    if plot is not None:
        from audiotag.runtime.figures import check_plot

        if kernel or files is not None or data is not None:
            raise click.UsageError("--plot draws models; leave out --kernel, --files and --data")
        check_plot(plot)


def _cores() -> int:
    """CPU threads that libraries here compute with unless told otherwise."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) else len(os.sched_getaffinity(0))


def _models(
    models: Sequence[str],
    settings: Sequence["Setting"],
    baseline: str | None,
    peers: bool,
    runs: int | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    from audiotag.benchmarks import speed

    names = [*(models or speed.DEFAULT_MODELS), *(speed.PEERS if peers else ())]
    tables = []
    for setting in settings:
        works, baselines = speed.select_models(names, setting, baseline)
        table = speed.measure_models(works, baselines, runs or speed.RUNS, _report)
        tables.append(table)
        if not as_json:
            from audiotag.cli.tables.bench import print_models

            print_models(table)
    if as_json:
        _print_json(tables)
    if plot is not None:
        _draw(tables, plot)


def _draw(tables: Sequence["SpeedTable[ModelSpeed]"], path: Path) -> None:
    from audiotag.benchmarks import plot

    if len(tables) > 1:
        plot.plot_throughput(tables, path)
    else:
        plot.plot_map_against_throughput(tables[0], path)
    _report(str(path))


def _kernels(setting: "Setting", runs: int | None, as_json: bool) -> None:
    from audiotag.benchmarks import speed
    from audiotag.cli.tables.bench import print_kernels

    table = speed.measure_kernels(setting, runs=runs or speed.RUNS, report=_report)
    _print_json([table]) if as_json else print_kernels(table)


def _files(
    models: Sequence[str], count: int, threads: int, runs: int | None, peers: bool, as_json: bool
) -> None:
    from audiotag.benchmarks import files_to_tags
    from audiotag.cli.tables.bench import print_files
    from audiotag.models.folder import DEFAULT_NAME

    table = files_to_tags.measure_tagging(
        models or (DEFAULT_NAME,),
        count,
        threads,
        runs or files_to_tags.RUNS,
        peers,
        _report,
        command_line=TAG_MODULES,
    )
    _print_json([table]) if as_json else print_files(table)


def _data(folder: Path, runs: int | None, as_json: bool) -> None:
    from audiotag.benchmarks import reading
    from audiotag.cli.process import prepare_to_compute
    from audiotag.cli.tables.bench import print_data

    prepare_to_compute("cpu")
    table = reading.measure(folder, runs=runs or reading.RUNS, report=_report)
    _print_json([table]) if as_json else print_data(table)


def _print_json(tables: Sequence[Any]) -> None:
    click.echo(json.dumps({"audiotag": __version__, "tables": [asdict(t) for t in tables]}))


def _report(message: str) -> None:
    click.echo(message, err=True)
