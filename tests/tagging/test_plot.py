"""The picture of a recording, against what tagging says of it."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import audiotag
from audiotag.cli import cli
from audiotag.errors import AudioTagError
from audiotag.tagging import plot
from audiotag.tagging.open import open_engine

pytest.importorskip("matplotlib")
SAMPLE = Path(audiotag.__file__).parent / "assets" / "samples" / "rooster.wav"


@pytest.fixture
def figure(monkeypatch):
    """The figures that are written."""
    figures = []
    monkeypatch.setattr(plot, "write", lambda drawn, path: figures.append(drawn))
    return figures


def test_it_shows_spectrogram_events_and_scores(figure, tmp_path):
    result = plot.plot_recording(open_engine(None), SAMPLE, tmp_path / "x.png")
    picture, blocks, lines = figure[0].axes
    assert np.array_equal(picture.images[0].get_array(), result.spectrogram.levels)
    expected = audiotag.tag(SAMPLE, events=True)
    lanes = [text.get_text() for text in blocks.get_yticklabels()]
    bars = set()
    for collection in blocks.collections:
        (x, y), (right, _) = (
            collection.get_paths()[0].vertices[0],
            collection.get_paths()[0].vertices[2],
        )
        bars.add((lanes[round(y + 0.38)], round(x, 3), round(right, 3)))
    events = {(x.label, round(x.start, 3), round(x.end, 3)) for x in expected.events}
    assert {event for event in events if event[0] in lanes} == bars
    assert [line.get_label() for line in lines.lines] == [tag.label for tag in expected.tags]
    for line, tag in zip(lines.lines, expected.tags, strict=True):
        assert max(line.get_ydata()) == pytest.approx(tag.score, abs=1e-6)
    assert lines.get_xlim() == (0, pytest.approx(expected.duration))


def test_a_recording_is_drawn_where_no_command_is_named(tmp_path):
    from PIL import Image

    path = tmp_path / "x.png"
    done = CliRunner().invoke(cli, ["plot", str(SAMPLE), str(path)])
    assert done.exit_code == 0, done.output
    assert Image.open(path).width == 1_500


@pytest.mark.parametrize("name", ["x.bmp", "x"])
def test_another_kind_of_picture_is_refused_before_tagging(tmp_path, name):
    with pytest.raises(AudioTagError, match="must end in"):
        plot.plot_recording(None, SAMPLE, tmp_path / name)


def test_what_is_neither_command_nor_file_is_named(tmp_path):
    done = CliRunner().invoke(cli, ["plot", "nothing.wav", "x.png"])
    assert done.exit_code == 2 and "nothing.wav" in done.output
