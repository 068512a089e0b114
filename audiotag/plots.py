"""Pictures, drawn with matplotlib, which comes with the extra `plot`."""

import importlib.util
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.errors import AudioTagError
from audiotag.replacing import replaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audiotag.benchmarks.speed import ModelSpeed, SpeedTable
    from audiotag.data.summary import DataSummary
    from audiotag.sweep import SweepRow

SUFFIXES = (".png", ".svg", ".pdf")
SIZE = (8.0, 5.0)  # inches
DPI = 150
NAMED_LABELS = 50  # bars that still have room for a name each
COLOURS = [f"C{number}" for number in range(10)]  # matplotlib's own
DCLS, DENSE, OTHER = "#c1440e", "#1f5f8b", "#6b6b6b"  # colours


def check_plot(path: Path) -> None:
    """See to it that a picture can be drawn before time is spent on what it shows.

    Raises:
        AudioTagError: If matplotlib is missing or the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise AudioTagError(f"{path} must end in one of {', '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise AudioTagError(
            "drawing needs matplotlib; install it with: pip install 'audiotag-dcls[plot]'"
        )


def plot_map_against_throughput(table: "SpeedTable[ModelSpeed]", path: Path) -> None:
    """Draw a point for each model that has a published mAP, by its throughput.

    Raises:
        AudioTagError: If none has, or as `check_plot`.
    """
    points = [(row, row.published_map) for row in table.rows if row.published_map is not None]
    if not points:
        raise AudioTagError(
            "no model measured has a published mAP to draw; give several --batch-size or "
            "--seconds for a chart of throughput, or add --peers"
        )

    def draw(axes: "Axes") -> None:
        for row, published in points:
            point = (row.clips_per_second, published)
            axes.scatter(*point, color=_colour(row.kernel))
            label = f"{row.name}\n{row.parameters / 1e6:.1f} M"
            axes.annotate(label, point, (6, -3), textcoords="offset points", fontsize=7)
        axes.margins(x=0.25, y=0.15)
        axes.set(xlabel="clips a second", ylabel="AudioSet mAP, %, as published", xscale="log")
        axes.xaxis.set_major_formatter("{x:g}")

    _write(path, draw, _setting(table))


def plot_sweep(rows: Sequence["SweepRow"], path: Path) -> None:
    """Draw accuracy, with its interval, against throughput, a point for each combination.

    What the first key is shows in a point's colour, what the others are in its mark.

    Raises:
        AudioTagError: As `check_plot`.
    """
    colours = dict(zip(dict.fromkeys(row.values[0] for row in rows), cycle(COLOURS), strict=False))
    marks = dict(zip(dict.fromkeys(row.values[1:] for row in rows), cycle("osD^v"), strict=False))

    def draw(axes: "Axes") -> None:
        for row in rows:
            value = row.outcome.value
            point = row.clips_per_second, value.value
            ends = [[value.value - value.low], [value.high - value.value]]
            label = ", ".join(x.rpartition(".")[2] for x in row.values)
            colour, mark = colours[row.values[0]], marks[row.values[1:]]
            axes.errorbar(*point, yerr=ends, fmt=mark, color=colour, capsize=2, label=label)
        axes.legend(fontsize=7)
        axes.set(xlabel="clips a second, from waveforms to scores")
        axes.set(ylabel=f"{outcome.figure}, 95 % interval")

    outcome = rows[0].outcome
    _write(path, draw, f"{outcome.clips:,} clips, keys {outcome.keys}")


def plot_throughput(tables: Sequence["SpeedTable[ModelSpeed]"], path: Path) -> None:
    """Draw the throughput of each model against what the tables' settings differ in.

    Args:
        tables: The same models, at several batch sizes or at several lengths of a clip.
        path: The picture.

    Raises:
        AudioTagError: As `check_plot`.
    """
    by_length = len({table.setting.seconds for table in tables}) > 1
    settings = [table.setting for table in tables]
    x = [setting.seconds if by_length else setting.batch_size for setting in settings]

    def draw(axes: "Axes") -> None:
        for rows in zip(*(table.rows for table in tables), strict=True):
            y = [row.clips_per_second for row in rows]
            line = "o-" if rows[0].kernel.startswith("DCLS") else "o--"
            axes.plot(*zip(*sorted(zip(x, y, strict=True)), strict=True), line, label=rows[0].name)
        axes.set(xlabel="clip length, s" if by_length else "clips in a batch")
        axes.set(ylabel="clips a second", xscale="log", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.set_xticks([], minor=True)
        axes.legend(fontsize=7)

    _write(path, draw, _setting(tables[0], by_length))


def plot_labels(summary: "DataSummary", path: Path) -> None:
    """Draw how many clips of a data set have each label; where there are many, by their rank.

    Raises:
        AudioTagError: As `check_plot`.
    """
    names = [label.name for label in summary.labels]
    clips = [label.clips for label in summary.labels]

    def draw(axes: "Axes") -> None:
        if len(names) <= NAMED_LABELS:
            axes.barh(names, clips, color=DENSE)
            axes.invert_yaxis()
            axes.tick_params(axis="y", labelsize=7)
            axes.grid(visible=False, axis="y")
            axes.set(xlabel="clips")
            return
        ranks = range(1, len(names) + 1)
        axes.fill_between(ranks, clips, step="mid", color=DENSE, alpha=0.8)
        for rank in [1, *range(len(names) // 5, len(names) + 1, len(names) // 5)]:
            text = f" {names[rank - 1]}"
            axes.annotate(text, (rank, max(clips[rank - 1], 1)), rotation=60, fontsize=7)
        axes.margins(x=0.06, y=0.25)
        axes.set(xlabel="label, by number of clips", ylabel="clips", yscale="log")

    _write(path, draw, f"{summary.name}: {summary.clips:,} clips, {len(names):,} labels")


def _colour(kernel: str) -> str:
    if kernel.startswith("DCLS"):
        return DCLS
    return DENSE if kernel == "7x7" else OTHER


def _setting(table: "SpeedTable[ModelSpeed]", by_length: bool | None = None) -> str:
    """What figures hold for, in a line; without what an axis shows."""
    setting = table.setting
    parts = [
        "training step" if setting.train else "inference",
        table.machine.processor,
        f"threads: {setting.threads}" if setting.device == "cpu" else "",
        setting.dtype,
        "" if by_length is False else f"batch {setting.batch_size}",
        "" if by_length else f"{setting.seconds:g} s clips",
    ]
    return ", ".join(part for part in parts if part)


def _write(path: Path, draw: Callable[["Axes"], None], title: str) -> None:
    """Draw one pair of axes into a file."""
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    draw(axes)
    write(figure, path)


def write(figure: "Figure", path: Path) -> None:
    """Write a figure to a file of the kind that its suffix names."""
    with replaced(path) as file:
        figure.savefig(file, dpi=DPI, format=path.suffix[1:])
