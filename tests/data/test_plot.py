"""The picture of a data set, against its figures."""

import pytest

from audiotag.data import plot
from audiotag.data.summary import DataSummary, LabelCount, PartSummary

pytest.importorskip("matplotlib")


def drawn(monkeypatch, tmp_path, counts):
    figures = []
    monkeypatch.setattr(plot, "write", lambda figure, path: figures.append(figure))
    labels = tuple(LabelCount(f"label {i}", count) for i, count in enumerate(counts))
    splits = (PartSummary("train", sum(counts), 2.0, None),)
    durations = (1.0, 2.0, 3.0, 4.0, 5.0)
    about = DataSummary("mine", 99, 2.0, 8000, durations, labels, 0, 1.5, splits, (), (), {})
    plot.plot_labels(about, tmp_path / "x.png")
    return figures[0]


def test_few_labels_have_a_bar_each_with_its_number(monkeypatch, tmp_path):
    figure = drawn(monkeypatch, tmp_path, [1_200, 30, 0])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [1_200, 30, 0]
    assert [text.get_text() for text in axes.texts] == ["1,200", "30", "0"]
    assert [x.get_text() for x in axes.get_yticklabels()] == ["label 0", "label 1", "label 2"]
    assert axes.yaxis_inverted()
    assert figure.get_suptitle() == "mine: 99 clips, 2.0 hours, 3 labels"
    assert axes.get_title() == "train 1,230, median clip 3.0 s, 1.50 labels a clip"


def test_many_labels_are_a_curve_with_some_names(monkeypatch, tmp_path):
    counts = [round(10_000 / rank) for rank in range(1, 528)]
    (axes,) = drawn(monkeypatch, tmp_path, counts).axes
    assert list(axes.lines[0].get_ydata()) == counts and axes.get_yscale() == "log"
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "label 0, 10,000" and texts[-1] == "label 526, 19"
    assert len(texts) == plot.NAMED_RANKS
