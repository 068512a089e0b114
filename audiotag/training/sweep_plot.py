"""A picture of a sweep: accuracy against throughput."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.runtime.figures import COLOURS, draw_axes
from audiotag.training.sweep_table import SweepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_sweep(rows: Sequence[SweepRow], path: Path) -> None:
    """Draw accuracy, with its interval, against throughput, a point for each combination.

    The value of the first key determines a point's colour, the values of the others its marker.

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
    draw_axes(path, draw, f"{outcome.clips:,} clips, keys {outcome.keys}")
