"""A picture of a data set: how many clips each label has."""

from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.runtime.figures import DENSE, draw_axes
from audiotag.runtime.fonts import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from audiotag.data.summary import DataSummary

NAMED_LABELS = 50  # bars that still have room for a name each


def plot_labels(summary: "DataSummary", path: Path) -> None:
    """Draw how many clips of a data set have each label; where there are many, by their rank.

    Raises:
        AudioTagError: As `draw_axes`.
    """
    names = [plain(label.name) for label in summary.labels]
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

    title = f"{summary.name}: {summary.clips:,} clips, {len(names):,} labels"
    draw_axes(path, draw, title, names)
