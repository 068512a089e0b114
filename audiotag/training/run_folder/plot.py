"""The picture of how a run went: the curves of its `metrics.jsonl`."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from audiotag.errors import DataError
from audiotag.evaluation.folds import fold_runs
from audiotag.models.folder import METRICS_FILE
from audiotag.runtime.figures import DCLS, DENSE, OTHER, check_plot, write
from audiotag.training.run_folder.history import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (9.0, 6.5)  # inches
SCORES = {"valid_map": ("mAP", DCLS), "valid_accuracy": ("accuracy", DENSE)}
Row = dict[str, float]


def read_curves(folder: Path) -> list[Row]:
    """The rows of a run folder, one for each validation.

    Raises:
        DataError: If it holds none.
    """
    rows = read_rows(folder / METRICS_FILE)
    if rows:
        return rows
    runs = fold_runs(folder) if folder.is_dir() else {}
    if runs:
        first = next(iter(runs.values()))
        raise DataError(f"{folder} is a cross-validation; name one of its runs, such as {first}")
    raise DataError(
        f"{folder} has no {METRICS_FILE} with a validation in it; name the --out of audiotag train"
    )


def plot_run(rows: Sequence[Row], name: str, path: Path) -> None:
    """Draw the losses, the scores and the learning rate by epoch.

    Args:
        rows: See `read_curves`.
        name: Of the run.
        path: The picture.

    Raises:
        AudioTagError: As `plots.check_plot`.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    (train, scores), (valid, rate) = figure.subplots(2, 2, sharex=True)
    _draw(train, rows, "train_loss", OTHER, "training loss")
    _draw(valid, rows, "valid_loss", OTHER, "validation loss")
    _draw(rate, rows, "lr", OTHER, "learning rate after the epoch")
    for key, (score, colour) in SCORES.items():
        if key in rows[-1]:
            _draw_score(scores, rows, key, score, colour)
    scores.set_title("scores on the validation clips", fontsize=9)
    scores.legend(fontsize=8, loc="lower right")
    scores.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", scilimits=(0, 0))
    for axes in (valid, rate):
        axes.set(xlabel="epoch", xlim=(0, rows[-1]["epoch"] * 1.03))
        axes.locator_params(axis="x", integer=True)
    figure.suptitle(_title(rows, name), fontsize=11)
    write(figure, path)


def _draw(axes: "Axes", rows: Sequence[Row], key: str, colour: str, title: str) -> None:
    axes.plot([row["epoch"] for row in rows], [row[key] for row in rows], "o-", ms=3, color=colour)
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)


def _draw_score(axes: "Axes", rows: Sequence[Row], key: str, name: str, colour: str) -> None:
    best = max(rows, key=lambda row: row[key])
    _draw(axes, rows, key, colour, "")
    axes.lines[-1].set_label(f"{name}, best {best[key]:.3f} in epoch {best['epoch']:g}")
    axes.plot(best["epoch"], best[key], "o", ms=8, mfc="none", color=colour)


def _title(rows: Sequence[Row], name: str) -> str:
    speed = median(row["clips_per_second"] for row in rows)
    return f"{name}: {rows[-1]['step']:,} steps, {speed:.3g} clips a second"
