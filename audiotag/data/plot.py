"""A picture of a data set: how many clips each label has."""

from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.runtime.figures import DENSE, OTHER, check_plot, write
from audiotag.runtime.fonts import fonts_for, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from audiotag.data.summary import DataSummary

NAMED_LABELS = 60  # bars that still have room for a name each
NAMED_RANKS = 12  # labels that are named on the curve of many
WIDTH, BAR, LEAST, CURVE = 9.0, 0.21, 2.0, 5.0  # inches: of all, a bar, all bars, a curve
SHOWN_CHARACTERS = 40  # of a label


def plot_labels(summary: "DataSummary", path: Path) -> None:
    """Draw how many clips of a data set have each label; where there are many, by their rank.

    Raises:
        AudioTagError: As `check_plot`, or if the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    names = [label.name for label in summary.labels]
    has_bars = len(names) <= NAMED_LABELS
    height = max(LEAST, BAR * len(names)) if has_bars else CURVE
    with fonts_for([summary.name, *names], path):
        figure = Figure((WIDTH, height + 1.2), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw = _draw_bars if has_bars else _draw_curve
        draw(axes, [plain(_short(name)) for name in names], [x.clips for x in summary.labels])
        figure.suptitle(plain(_title(summary)), fontsize=11)
        axes.set_title(plain(_parts(summary)), fontsize=9, color=OTHER)
        write(figure, path)


def _draw_bars(axes: "Axes", names: list[str], clips: list[int]) -> None:
    places = range(len(names))
    bars = axes.barh(places, clips, color=DENSE, height=0.72)
    axes.bar_label(bars, [f"{count:,}" for count in clips], padding=4, fontsize=8, color=OTHER)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="clips")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _draw_curve(axes: "Axes", names: list[str], clips: list[int]) -> None:
    ranks = range(1, len(names) + 1)
    axes.fill_between(ranks, clips, step="mid", color=DENSE, alpha=0.25)
    axes.step(ranks, clips, where="mid", color=DENSE, lw=1.5)
    for i in range(NAMED_RANKS):
        place = round(i * (len(names) - 1) / (NAMED_RANKS - 1))
        point = (ranks[place], max(clips[place], 1))
        text = f"{names[place]}, {clips[place]:,}"
        axes.plot(*point, "o", ms=4, color=DENSE)
        axes.annotate(
            text, point, (3, 6), textcoords="offset points", rotation=50, fontsize=8, ha="left"
        )
    axes.margins(x=0.02)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.8, top=max(clips) ** 1.35 + 10)  # room for names
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="label, by number of clips", ylabel="clips")
    axes.grid(alpha=0.3)


def _title(summary: "DataSummary") -> str:
    hours = f"{summary.hours:,.1f} hours"
    return f"{summary.name}: {summary.clips:,} clips, {hours}, {len(summary.labels):,} labels"


def _parts(summary: "DataSummary") -> str:
    splits = ", ".join(f"{part.name} {part.clips:,}" for part in summary.splits)
    median = f"median clip {summary.durations[2]:.1f} s"
    return ", ".join(filter(None, [splits, median, f"{summary.labels_per_clip:.2f} labels a clip"]))


def _short(name: str) -> str:
    return name if len(name) <= SHOWN_CHARACTERS else f"{name[: SHOWN_CHARACTERS - 1]}…"
