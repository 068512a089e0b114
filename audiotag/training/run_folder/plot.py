"""The picture of a run: the curves of its `metrics.jsonl`."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from audiotag.errors import DataError
from audiotag.evaluation.folds import fold_runs
from audiotag.models.folder import METRICS_FILE
from audiotag.models.metrics_row import MetricsRow, read_metrics
from audiotag.runtime.figures import DCLS, DENSE, OTHER, check_plot, write
from audiotag.runtime.fonts import fonts_for, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (9.5, 6.0)  # inches
FEW_TIMES = 4  # the lowest value, from which the highest is drawn on a logarithmic axis


def read_curves(folder: Path) -> list[MetricsRow]:
    """The rows of a run folder, one for each validation.

    Raises:
        DataError: If it holds none.
    """
    rows = read_metrics(folder)
    if rows:
        return rows
    runs = fold_runs(folder) if folder.is_dir() else {}
    if runs:
        first = next(iter(runs.values()))
        raise DataError(f"{folder} is a cross-validation; name one of its runs, such as {first}")
    raise DataError(
        f"{folder} has no {METRICS_FILE} with a validation in it; name the --out of audiotag train"
    )


def plot_run(rows: Sequence[MetricsRow], name: str, path: Path) -> None:
    """Draw the losses, the scores and the learning rate by epoch.

    Args:
        rows: See `read_curves`.
        name: Name of the run.
        path: The picture to write.

    Raises:
        AudioTagError: As `figures.check_plot`.
    """
    check_plot(path)
    with fonts_for([name], path):
        write(_figure(rows, name), path)


def _figure(rows: Sequence[MetricsRow], name: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    panels = figure.subplot_mosaic([["losses", "scores"], ["rate", "scores"]], height_ratios=[3, 1])
    losses, scores, rate = panels["losses"], panels["scores"], panels["rate"]
    epochs = [row.epoch for row in rows]
    _draw(losses, epochs, [row.train_loss for row in rows], DENSE, "loss", "training")
    _draw(losses, epochs, [row.valid_loss for row in rows], DCLS, "loss", "validation")
    _draw(rate, epochs, [row.lr for row in rows], OTHER, "learning rate after the epoch")
    _draw_score(scores, epochs, [row.valid_map for row in rows], "mAP", DCLS)
    _draw_score(scores, epochs, [row.valid_accuracy for row in rows], "accuracy", DENSE)
    scores.set_title("scores on the validation clips", fontsize=9)
    scores.set_ylim(0, 1.02)
    for axes in (losses, scores):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    for axes in (losses, rate):
        _make_logarithmic(axes)
    for axes in panels.values():
        axes.set(xlabel="epoch", xlim=(0, epochs[-1] * 1.03))
        axes.locator_params(axis="x", integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(plain(_title(rows, name)), fontsize=11)
    return figure


def _draw(
    axes: "Axes",
    epochs: Sequence[int],
    values: Sequence[float | None],
    colour: str,
    title: str,
    label: str | None = None,
) -> None:
    measured = np.array(values, dtype=float)  # NaN where there is nothing to draw
    if not np.isnan(measured).all():
        axes.plot(epochs, measured, "o-", ms=3, color=colour, label=label)
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)


def _make_logarithmic(axes: "Axes") -> None:
    """A logarithmic axis with plain numbers, if the values are above 0 and differ enough."""
    from matplotlib.ticker import LogLocator

    values = np.array([y for line in axes.lines for y in np.asarray(line.get_ydata(), float)])
    if not len(values) or np.nanmin(values) <= 0:
        return
    if np.nanmax(values) < FEW_TIMES * np.nanmin(values):
        return  # there would hardly be a tick
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def _draw_score(
    axes: "Axes", epochs: Sequence[int], values: Sequence[float | None], name: str, colour: str
) -> None:
    """Draw a score and its best value; nothing for one that was not measured."""
    measured = [(x, y) for x, y in zip(epochs, values, strict=True) if y is not None]
    if not measured:
        return
    epoch, best = max(measured, key=lambda point: point[1])
    _draw(axes, epochs, values, colour, "")
    axes.lines[-1].set_label(f"{name}, best {best:.3f} in epoch {epoch:g}")
    axes.plot(epoch, best, "o", ms=8, mfc="none", color=colour)


def _title(rows: Sequence[MetricsRow], name: str) -> str:
    speeds = [row.clips_per_second for row in rows if row.clips_per_second is not None]
    speed = f", {median(speeds):.3g} clips a second" if speeds else ""
    return f"{name}: {rows[-1].step:,} steps{speed}"
