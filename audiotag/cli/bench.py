"""`audiotag bench`: how fast models, kernels, tagging and reading are on this machine."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from audiotag.benchmarks.defaults import DATA_RUNS, FILES, FILES_RUNS, MODEL_RUNS
from audiotag.cli.options.bench import JSON, THREADS, in_new_form, runs_option
from audiotag.cli.options.device import DEVICE
from audiotag.cli.options.types import COUNT, FOLDER, NEW_FILE, Number
from audiotag.runtime.version import __version__

# The modules that `audiotag tag` imports before those of its model.
TAG_MODULES = ("audiotag.cli", "audiotag.cli.tag", "audiotag.cli.progress.files")
SECONDS = Number("seconds", float, 2.0)  # some architectures need at least this


class BenchGroup(click.Group):
    """A group that also takes the flags of earlier versions, which had no commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Replace old flags by the command that they stand for."""
        known = {*self.commands, *ctx.help_option_names}
        if not ctx.resilient_parsing and (not args or args[0] not in known):
            args = in_new_form(ctx, args)
        return super().parse_args(ctx, args)


@click.group(cls=BenchGroup)
def bench() -> None:
    """Measure how fast this machine is: models, building kernels, tagging files, reading data.

    All that is compared is run in turn, after a warm-up. Figures are medians.

    \b
    The commands of earlier versions still work:
      bench [MODEL]... [--train]  is now  bench models [MODEL]... [--train]
      bench --kernel              is now  bench kernels
      bench --files N [MODEL]...  is now  bench files --count N [MODEL]...
      bench --data FOLDER         is now  bench data FOLDER

    \b
    Example: audiotag bench models convnext_dcls_audio_atto --threads 2
             audiotag bench files --json
    """
    from audiotag.features.mel_power import library

    if library() is None:
        _report(
            "the C extensions are not installed, which makes all of this slower: install audiotag "
            "again where there is a C compiler"
        )


@bench.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--baseline",
    metavar="MODEL",
    help="Compare all with this model, or with `package`: the same model with the layers of the "
    "dcls package. Without it, each DCLS model with its own 7x7 model.",
)
@click.option("--peers", is_flag=True, help="Add EfficientAT mn04 and mn10, AST and PaSST-S.")
@click.option("--train", is_flag=True, help="A training step instead of inference.")
@DEVICE
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision; bf16 is automatic mixed precision.",
)
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
    type=SECONDS,
    multiple=True,
    default=(10.0,),
    show_default=True,
    help="Length of a clip, 2 or more; may be given several times.",
)
@THREADS
@runs_option(MODEL_RUNS)
@JSON
@click.option(
    "--plot",
    type=NEW_FILE,
    metavar="FILE.png",
    help="Draw throughput against batch size or clip length where several are given, else "
    "published mAP against throughput.",
)
def models(
    names: tuple[str, ...],
    baseline: str | None,
    peers: bool,
    runs: int,
    as_json: bool,
    plot: Path | None,
    **setting: Any,
) -> None:
    """Measure models, from log-mel maps to logits.

    MODEL is an architecture (see `audiotag models`; it gets random weights, and DCLS elements
    anywhere in their kernels), a model folder, a Hub id, a name as ced-tiny, or `default`. Without
    MODEL: the DCLS models of arXiv 2309.13972 and the smallest ConvNeXt.

    \b
    Example: audiotag bench models convnext_dcls_audio_atto --threads 2
             audiotag bench models --peers --train --device cuda --batch-size 64
             audiotag bench models --peers --plot speed.png
    """
    if len(setting["batch_sizes"]) > 1 and len(setting["lengths"]) > 1:
        raise click.UsageError("give several --batch-size or several --seconds, not both")
    from audiotag.benchmarks.models import settings_of
    from audiotag.benchmarks.speed import keep_speeds, measure_settings, names_of
    from audiotag.cli.process import prepare_to_train
    from audiotag.cli.tables.bench import print_models

    tables, settings = [], settings_of(**setting)
    if plot is not None:
        from audiotag.benchmarks.plot import check_speed_plot

        check_speed_plot(plot, names_of(names, peers), settings, baseline)
    prepare_to_train(settings[0].device)
    for table in measure_settings(names, settings, baseline, peers, runs, _report):
        tables.append(table)
        keep_speeds(table)
        if not as_json:
            print_models(table)
    if as_json:
        _print_json(tables)
    if plot is not None:
        from audiotag.benchmarks.plot import plot_speed

        plot_speed(tables, plot)
        _report(str(plot))


@bench.command()
@DEVICE
@THREADS
@runs_option(MODEL_RUNS)
@JSON
def kernels(device: str, threads: int | None, runs: int, as_json: bool) -> None:
    """Measure building DCLS kernels, also with the dcls package.

    Kernels of one layer are built, forward and backward, with the numbers of channels of
    ConvNeXt-T's stages.

    Example: audiotag bench kernels --threads 1
    """
    from audiotag.benchmarks.models import settings_of
    from audiotag.benchmarks.speed import measure_kernels
    from audiotag.cli.process import prepare_to_train
    from audiotag.cli.tables.bench import print_kernels

    (setting,) = settings_of(device, threads)
    prepare_to_train(setting.device)
    table = measure_kernels(setting, runs=runs, report=_report)
    _print_json([table]) if as_json else print_kernels(table)


@bench.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--count", type=COUNT, default=FILES, show_default=True, help="Recordings of 10 s to tag."
)
@click.option(
    "--peers", is_flag=True, help="Add EfficientAT mn04, and YAMNet where it is installed."
)
@THREADS
@runs_option(FILES_RUNS)
@JSON
def files(
    names: tuple[str, ...], count: int, peers: bool, threads: int | None, runs: int, as_json: bool
) -> None:
    """Measure `audiotag tag` on files, and its start, on the CPU.

    MODEL is a model folder, an .onnx file, a Hub id, a name as ced-tiny, or `default`; without
    MODEL, `default`. Each model is measured on every engine that can run it.

    \b
    Example: audiotag bench files --threads 2
             audiotag bench files default runs/mine --count 100 --json
    """
    from audiotag.benchmarks.files_to_tags import measure_tagging
    from audiotag.cli.tables.bench import print_files

    table = measure_tagging(names, count, threads, runs, peers, _report, command_line=TAG_MODULES)
    _print_json([table]) if as_json else print_files(table)


@bench.command()
@click.argument("folder", type=FOLDER)
@runs_option(DATA_RUNS)
@JSON
def data(folder: Path, runs: int, as_json: bool) -> None:
    """Measure reading a data set, compared with HDF5 files.

    The clips of the prepared data set in FOLDER are read from it, and from HDF5 files of the same
    clips: first to waveforms only, then to log-mel maps.

    Example: audiotag bench data data/mine
    """
    from audiotag.benchmarks.reading import measure
    from audiotag.cli.process import prepare_to_compute
    from audiotag.cli.tables.bench import print_data

    prepare_to_compute("cpu")
    table = measure(folder, runs=runs, report=_report)
    _print_json([table]) if as_json else print_data(table)


def _print_json(tables: Sequence[Any]) -> None:
    click.echo(json.dumps({"audiotag": __version__, "tables": [asdict(t) for t in tables]}))


def _report(message: str) -> None:
    click.echo(message, err=True)
