"""The picture of mistakes, against an evaluation's pairs."""

import numpy as np
import pytest

from audiotag.errors import DataError
from audiotag.evaluation import plot
from audiotag.models.evaluation_record import Confusion, Evaluation, Figure

pytest.importorskip("matplotlib")
PAIRS = (
    Confusion("Dog", "Dog", 8),
    Confusion("Dog", "Cat", 2),
    Confusion("Cat", "Cat", 5),
    Confusion("$Rain$", "Dog", 1),
)


def saved(folder, confusion):
    clips = sum(pair.clips for pair in confusion or ())
    figures = {"mAP": Figure(0.5, 0.4, 0.6)}
    Evaluation("m", "d", None, None, clips, "k", 3, 0, figures, (), confusion).save(folder)
    return folder


@pytest.fixture
def figures(monkeypatch):
    written = []
    monkeypatch.setattr(plot, "write", lambda drawn, path: written.append(drawn))
    return written


def test_cells_are_shares_of_rows_with_counts(figures, tmp_path):
    plot.plot_confusion(saved(tmp_path, PAIRS), tmp_path / "x.png")
    axes = figures[0].axes[0]
    assert [x.get_text() for x in axes.get_yticklabels()] == ["Dog", "Cat", r"\$Rain\$"]
    expected = [[0.8, 0.2, 0], [0, 1, 0], [1, 0, 0]]
    assert np.allclose(axes.images[0].get_array(), expected)
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "8", (1, 0): "2", (1, 1): "5", (0, 2): "1"}
    assert "81.2% of 16 clips right" in axes.get_title()


def test_of_many_labels_those_with_most_mistakes_are_drawn(figures, tmp_path):
    right = [Confusion(f"l{i}", f"l{i}", 3) for i in range(100)]
    wrong = [Confusion(f"l{i}", f"l{i + 1}", 1) for i in range(0, 60, 2)]
    plot.plot_confusion(saved(tmp_path, (*right, *wrong)), tmp_path / "x.png")
    names = [x.get_text() for x in figures[0].axes[0].get_yticklabels()]
    assert names == [f"l{i}" for i in range(60)]
    assert not figures[0].axes[0].texts


def test_what_has_no_matrix_says_why(tmp_path):
    with pytest.raises(DataError, match="evaluate .* --save"):
        plot.plot_confusion(tmp_path, tmp_path / "x.png")
    with pytest.raises(DataError, match="several labels"):
        plot.plot_confusion(saved(tmp_path, None), tmp_path / "x.png")
