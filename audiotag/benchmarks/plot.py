"""Pictures of speed, drawn with matplotlib, which comes with the extra `plot`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.errors import AudioTagError
from audiotag.runtime.figures import DCLS, DENSE, OTHER, check_plot, draw_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from audiotag.benchmarks.models import Setting
    from audiotag.benchmarks.speed import ModelSpeed, SpeedTable


def check_speed_plot(
    path: Path, names: Sequence[str], settings: Sequence["Setting"], baseline: str | None = None
) -> None:
    """Check that there will be something to draw, before time is spent on measuring.

    Args:
        path: The picture.
        names: The models, as `speed.names_of` returns them.
        settings: As for `speed.measure_settings`.
        baseline: As for `speed.select_models`.

    Raises:
        AudioTagError: If no model has a published mAP, and there is one setting; or as
            `check_plot`.
        ModelError: As `select_models`.
    """
    from audiotag.benchmarks.speed import published_map, select_models

    check_plot(path)
    works, _ = select_models(names, settings[0], baseline)
    if len(settings) == 1 and all(published_map(work.model) is None for work in works):
        raise AudioTagError(
            f"{path} would be empty, as no model named has a published mAP; give several "
            "--batch-size or --seconds for a chart of throughput, or add --peers"
        )


def plot_speed(tables: Sequence["SpeedTable[ModelSpeed]"], path: Path) -> None:
    """Draw published mAP against the throughput in one table; or, for several tables, throughput
    against the setting in which they differ.

    Raises:
        AudioTagError: As `check_plot`.
    """
    if len(tables) > 1:
        plot_throughput(tables, path)
    else:
        plot_map_against_throughput(tables[0], path)


def plot_map_against_throughput(table: "SpeedTable[ModelSpeed]", path: Path) -> None:
    """Draw a point for each model that has a published mAP: the mAP against its throughput.

    Raises:
        AudioTagError: As `check_plot`.
    """
    points = [(row, row.published_map) for row in table.rows if row.published_map is not None]

    def draw(axes: "Axes") -> None:
        for row, published in points:
            point = (row.clips_per_second, published)
            axes.scatter(*point, color=_colour(row.kernel))
            label = f"{row.name}\n{row.parameters / 1e6:.1f} M"
            axes.annotate(label, point, (6, -3), textcoords="offset points", fontsize=7)
        axes.margins(x=0.25, y=0.15)
        axes.set(xlabel="clips a second", ylabel="AudioSet mAP, %, as published", xscale="log")
        axes.xaxis.set_major_formatter("{x:g}")

    draw_axes(path, draw, _setting(table))


def plot_throughput(tables: Sequence["SpeedTable[ModelSpeed]"], path: Path) -> None:
    """Draw the throughput of each model against the batch size or the length of a clip.

    Args:
        tables: The same models, at several batch sizes or at several lengths of a clip.
        path: The picture to write.

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

    draw_axes(path, draw, _setting(tables[0], by_length))


def _colour(kernel: str) -> str:
    if kernel.startswith("DCLS"):
        return DCLS
    return DENSE if kernel == "7x7" else OTHER


def _setting(table: "SpeedTable[ModelSpeed]", by_length: bool | None = None) -> str:
    """The setting of a table in one line, without the part that an axis shows."""
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
