"""The picture of what DCLS convolutions have learnt: positions, kernels and widths, by stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audiotag.layers.elements import StageElements
from audiotag.runtime.figures import DCLS, DENSE, check_plot, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

STAGE_WIDTH, HEIGHT = 2.9, 9.0  # inches
BINS_PER_CELL = 2  # of the density of elements
BASELINE = 7  # side of the square drawn for comparison: that of the dense kernels replaced
MARGIN = 1  # cells shown around what is used
WIDTH_BINS = 40
MAPS = "Reds"
GAMMA = 0.5  # below 1, so that rare values are still seen


def plot_kernels(stages: Sequence[StageElements], name: str, path: Path) -> None:
    """Draw, for each stage, where its elements are, the kernel they make, and how wide they are.

    Args:
        stages: See `elements.stage_elements`.
        name: Name of the model.
        path: The picture to write.

    Raises:
        AudioTagError: As `check_plot`.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    widths = [stage.widths for stage in stages if stage.widths is not None]
    rows = 3 if widths else 2
    figure = Figure((1.5 + STAGE_WIDTH * len(stages), HEIGHT * rows / 3), layout="constrained")
    axes = figure.subplots(rows, len(stages), squeeze=False, sharey="row")
    reach = max(_reach(stage) for stage in stages)
    for number, (column, stage) in enumerate(zip(axes.T, stages, strict=True), start=1):
        column[0].set_title(_title(number, stage), fontsize=8)
        positions = _draw_positions(column[0], stage, reach)
        kernel = _draw_kernel(column[1], stage, reach)
    if widths:
        _draw_widths(axes[2], widths)
    figure.colorbar(positions, ax=axes[0], label="elements, relative to the maximum")
    figure.colorbar(kernel, ax=axes[1], label="mean |kernel|, relative to the maximum")
    size = "x".join(map(str, stages[0].size))
    shown = "elements, the kernels they make" + (", and their widths" if widths else "")
    figure.suptitle(
        f"{name}: {shown}; {size} cells, dashed: the {BASELINE}x{BASELINE} of a usual kernel",
        fontsize=11,
    )
    for row in axes[:2]:
        row[0].set_ylabel("mel, cells from the centre")
    write(figure, path)


def _title(number: int, stage: StageElements) -> str:
    beyond = (np.abs(stage.positions) > BASELINE / 2).any(0).mean()
    return (
        f"stage {number}: {stage.convs} convolutions, {stage.channels} channels\n"
        f"{stage.positions.shape[1]:,} elements, {beyond * 100:.1f} % outside the square"
    )


def _reach(stage: StageElements) -> float:
    """Cells from the centre to the edge of the part shown, at most to the edge of the kernel."""
    used = max(np.abs(stage.positions).max(), BASELINE / 2) + MARGIN
    return min(used, max(stage.size) / 2)


def _draw_positions(axes: "Axes", stage: StageElements, reach: float) -> "AxesImage":
    rows, columns = stage.positions
    bins = 2 * round(reach * BINS_PER_CELL) + 1  # one of them is the centre
    edges = np.linspace(-reach, reach, bins + 1)
    density, _, _ = np.histogram2d(rows, columns, (edges, edges))
    return _draw_map(axes, density, reach, reach)


def _draw_kernel(axes: "Axes", stage: StageElements, reach: float) -> "AxesImage":
    rows, columns = stage.size
    image = _draw_map(axes, stage.kernel, rows / 2, reach, columns / 2)
    axes.set_xlabel("time, cells from the centre")
    return image


def _draw_map(
    axes: "Axes", values: np.ndarray, half: float, reach: float, across: float | None = None
) -> "AxesImage":
    """Draw values (rows, columns) that span -half to half; the axes show -reach to reach."""
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    width = half if across is None else across
    extent, norm = (-width, width, -half, half), PowerNorm(GAMMA, 0, 1)
    image = axes.imshow(values / values.max(), MAPS, norm, origin="lower", extent=extent)
    corner, side = (-BASELINE / 2, -BASELINE / 2), BASELINE
    axes.add_patch(Rectangle(corner, side, side, fill=False, linestyle="--"))
    axes.locator_params(integer=True)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    return image


def _draw_widths(row: Sequence["Axes"], widths: Sequence[np.ndarray]) -> None:
    bins = np.linspace(0, max(values.max() for values in widths), WIDTH_BINS + 1).tolist()
    for axes, of_stage in zip(row, widths, strict=True):
        for values, axis, colour in zip(of_stage, ("mel", "time"), (DENSE, DCLS), strict=True):
            share, median = np.full(len(values), 100 / len(values)), np.median(values)
            label = f"in {axis}, median {median:.2f}"
            axes.hist(values, bins, weights=share, histtype="step", color=colour, label=label)
        axes.set(xlabel="width (sigma), cells")
        axes.legend(fontsize=7)
    row[0].set_ylabel("elements, %")
