"""Drawing with matplotlib: colours, sizes, and writing a picture to a file."""

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.errors import AudioTagError
from audiotag.runtime.files import replaced
from audiotag.runtime.fonts import fonts_for, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
SIZE = (8.0, 5.0)  # inches
DPI = 150
COLOURS = [f"C{number}" for number in range(10)]  # matplotlib's own
DCLS, DENSE, OTHER = "#c1440e", "#1f5f8b", "#6b6b6b"  # colours


def check_plot(path: Path) -> None:
    """Check that a picture can be drawn, before time is spent on its data.

    Raises:
        AudioTagError: If matplotlib is missing or the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise AudioTagError(f"{path} must end in one of {', '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise AudioTagError(
            "drawing needs matplotlib; install it with: pip install 'audiotag-dcls[train]'"
        )


def draw_axes(
    path: Path, draw: Callable[["Axes"], None], title: str, names: Iterable[str] = ()
) -> None:
    """Draw one pair of axes into a file.

    Args:
        path: The picture.
        draw: Draws into the axes.
        title: What stands above them.
        names: Other text that may be in any script.

    Raises:
        AudioTagError: As `check_plot`, or if the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    with fonts_for([title, *names], path):
        figure = Figure(SIZE, layout="constrained")
        axes = figure.subplots()
        axes.set_title(plain(title), fontsize=9)
        axes.grid(alpha=0.3)
        draw(axes)
        write(figure, path)


def write(figure: "Figure", path: Path) -> None:
    """Write a figure to a file, in the format that its suffix names.

    Raises:
        OutputError: If it cannot be written.
    """
    with replaced(path) as file:
        figure.savefig(file, dpi=DPI, format=path.suffix[1:])
