"""The picture of a recording: its spectrogram, its events, and its best tags over time."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audiotag.features.spectrogram import LEVELS, LOWEST, Spectrogram
from audiotag.models.engine import Engine
from audiotag.runtime.figures import COLOURS, OTHER, check_plot, write
from audiotag.runtime.fonts import fonts_for, plain
from audiotag.tagging.results import Event, FileTags
from audiotag.tagging.tag import TagOptions, tag_file
from audiotag.tagging.text import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST = 5  # tags that are drawn over time
LANES = 12  # labels whose events are drawn
WIDTH = 10.0  # inches
LANE_HEIGHT, PICTURE_HEIGHT, CURVES_HEIGHT = 0.26, 2.6, 2.2  # inches
TICKS = (125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)  # Hz


def plot_recording(engine: Engine, recording: Path, path: Path) -> FileTags:
    """Draw a recording into a file; returns its tags and events.

    It is heard twice: for its tags and events, then for the scores of its best tags over time.

    Raises:
        AudioError: If it cannot be decoded.
        AudioTagError: As `check_plot`.
        OutputError: If the picture cannot be written.
    """
    check_plot(path)
    result = tag_file(engine, recording, TagOptions(top_k=BEST, events=True, spectrogram=True))
    names = [tag.label for tag in result.tags]
    how = TagOptions(top_k=0, threshold=0.0, label=names, events=True, timeline=True)
    curves = _curves(tag_file(engine, recording, how), names)
    with fonts_for([result.path, *_lanes(result)], path):
        write(_figure(result, curves, engine.name), path)
    return result


def _curves(result: FileTags, names: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Middles of the windows, in seconds, and scores in them, each (windows,), by label."""
    times = np.array([(part.start + part.end) / 2 for part in result.segments])
    scores = [{tag.label: tag.score for tag in part.tags} for part in result.segments]
    return {name: (times, np.array([x.get(name, 0.0) for x in scores])) for name in names}


def _lanes(result: FileTags) -> list[str]:
    """Labels that have a lane: the best tags, then others with events, the highest first."""
    events = sorted(result.events or (), key=lambda event: -event.score)
    labels = [tag.label for tag in result.tags] + [event.label for event in events]
    return list(dict.fromkeys(labels))[:LANES]


def _figure(
    result: FileTags, curves: dict[str, tuple[np.ndarray, np.ndarray]], model: str
) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    lanes = _lanes(result)
    heights = [PICTURE_HEIGHT, LANE_HEIGHT * (len(lanes) + 1), CURVES_HEIGHT]
    figure = Figure((WIDTH, sum(heights) + 1.0), layout="constrained")
    picture, blocks, lines = figure.subplots(3, sharex=True, height_ratios=heights)
    if result.spectrogram is not None:
        _draw_spectrogram(picture, result.spectrogram)
    colours = {label: COLOURS[i] if i < len(curves) else OTHER for i, label in enumerate(lanes)}
    _draw_events(blocks, lanes, result.events or (), colours)
    for label, (times, scores) in curves.items():
        lines.plot(times, scores, ".-", ms=3, lw=1.4, color=colours[label], label=plain(label))
    lines.set(ylim=(0, 1.02), ylabel="score", xlabel="time", xlim=(0, result.duration or 1.0))
    lines.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(max(seconds, 0.0))))
    lines.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=BEST, fontsize=8, frameon=False)
    title = f"{result.path}  ({clock(result.duration or 0.0)}), model {model}"
    figure.suptitle(plain(title), fontsize=10)
    return figure


def _draw_spectrogram(axes: "Axes", spectrogram: Spectrogram) -> None:
    end = spectrogram.levels.shape[1] * spectrogram.step
    axes.imshow(
        spectrogram.levels,
        origin="lower",
        aspect="auto",
        extent=(0.0, end, _mel(LOWEST), _mel(spectrogram.highest)),
        cmap="magma",
        vmin=0,
        vmax=LEVELS - 1,
        interpolation="nearest",
    )
    shown = [hertz for hertz in TICKS if hertz <= spectrogram.highest]
    axes.set_yticks([_mel(hertz) for hertz in shown], [f"{hertz / 1000:g}" for hertz in shown])
    axes.set_ylabel("kHz")


def _draw_events(
    axes: "Axes", lanes: list[str], events: tuple[Event, ...], colours: dict[str, str]
) -> None:
    for event in events:
        if event.label in lanes:
            place, length = (event.start, lanes.index(event.label) - 0.38), event.end - event.start
            axes.broken_barh(
                [(place[0], length)],
                (place[1], 0.76),
                color=colours[event.label],
                alpha=0.35 + 0.65 * event.score,
                lw=0,
            )
    axes.set_yticks(range(len(lanes)), [plain(label) for label in lanes], fontsize=8)
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    if not events:
        axes.text(0.5, 0.5, "no events", transform=axes.transAxes, ha="center", va="center")


def _mel(hertz: float) -> float:
    return float(np.log1p(hertz / 700))
