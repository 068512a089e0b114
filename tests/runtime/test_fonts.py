"""Text of any script in pictures: drawn in a font that has it, or said to be missing."""

import re
import warnings

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from audiotag.data.plot import plot_labels
from audiotag.data.summary import DataSummary, LabelCount
from audiotag.models.metrics_row import MetricsRow
from audiotag.runtime.fonts import fonts_for
from audiotag.training.run_folder.plot import plot_run

BIRD, VOICE = "鳥", "\u58f0"
CUNEIFORM = "\U00012000"  # in no font here


def write_font(path, family, characters):
    """A font in which each character is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [f"uni{ord(x):04X}" for x in characters]
    font = FontBuilder(1000)
    font.setupGlyphOrder([".notdef", *names])
    font.setupCharacterMap(dict(zip(map(ord, characters), names, strict=True)))
    font.setupGlyf(dict.fromkeys([".notdef", *names], square))
    font.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (900, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular", "psName": family})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(path)


@pytest.fixture
def font(tmp_path, monkeypatch):
    """A font with two characters that no other font here has."""
    known = [x for x in font_manager.fontManager.ttflist if "CJK" not in x.name]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", known)
    path = tmp_path / "squares.ttf"
    write_font(path, "Squares", BIRD + VOICE)

    def add():
        font_manager.fontManager.addfont(path)

    return add


def summary(names):
    """A data set of one clip for each label."""
    labels = tuple(LabelCount(name, 1) for name in names)
    return DataSummary("birds", 3, 1.0, 8000, (1.0,) * 5, labels, 0, 1.0, (), (), (), {})


def drawn(names, path, caplog):
    """The picture's text, and what was said; a warning of matplotlib's is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_labels(summary(names), path)
    said = [x.getMessage() for x in caplog.records]
    caplog.clear()
    return path.read_text(encoding="utf-8"), said


def glyphs(picture):
    """How many glyphs of the font a picture holds."""
    return len(set(re.findall(r'id="Squares-[0-9a-f]+"', picture)))


def test_labels_of_any_script_are_drawn_where_a_font_has_them(font, tmp_path, caplog):
    path = tmp_path / "labels.svg"
    _, said = drawn([f"{BIRD}{VOICE}", "Wren"], path, caplog)
    (message,) = said
    assert f"{path}: no font here has {VOICE}, {BIRD}, drawn as boxes; install one" in message
    font()
    picture, said = drawn([f"{BIRD}{VOICE}", "Wren"], path, caplog)
    assert said == []
    assert glyphs(picture) == 2
    _, said = drawn([f"{BIRD}{CUNEIFORM}"], path, caplog)
    assert len(said) == 1 and f"no font here has {CUNEIFORM}, drawn" in said[0]


def test_dollars_are_no_mathematics(tmp_path, caplog):
    names = ["$5 and $10", r"$\nonsense{$", "one $"]
    picture, said = drawn(names, tmp_path / "labels.svg", caplog)
    assert said == []
    for name in names:
        assert f"<!-- {name} -->" in picture


def test_the_name_of_a_run_is_drawn_too(font, tmp_path, caplog):
    font()
    path = tmp_path / "run.svg"
    rows = [MetricsRow(epoch=1, step=2, train_loss=0.5, valid_map=0.5, clips_per_second=1.0)]
    plot_run(rows, f"$runs/{BIRD}$", path)
    assert glyphs(path.read_text(encoding="utf-8")) == 1
    assert not caplog.records


def test_what_is_drawn_elsewhere_stays_in_the_usual_font(font, tmp_path):
    font()
    before = matplotlib.rcParams["font.family"]
    with fonts_for([BIRD], tmp_path / "x.png"):
        assert matplotlib.rcParams["font.family"] == [*before, "Squares"]
    assert matplotlib.rcParams["font.family"] == before
