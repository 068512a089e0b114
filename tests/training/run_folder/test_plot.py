"""The picture of a run, against its rows."""

import pytest

from audiotag.models.metrics_row import MetricsRow
from audiotag.training.run_folder import plot

pytest.importorskip("matplotlib")


def drawn(monkeypatch, tmp_path, rows):
    figures = []
    monkeypatch.setattr(plot, "write", lambda figure, path: figures.append(figure))
    plot.plot_run(rows, "runs/x", tmp_path / "x.png")
    return {axes.get_title(): axes for axes in figures[0].axes}


def test_losses_share_a_logarithmic_axis(monkeypatch, tmp_path):
    rows = [
        MetricsRow(
            epoch=i, step=i, train_loss=2.0**-i, valid_loss=1.5**-i, lr=0.1**i, valid_map=0.5
        )
        for i in range(1, 6)
    ]
    axes = drawn(monkeypatch, tmp_path, rows)
    losses = axes["loss"]
    assert losses.get_yscale() == "log"
    lines = {line.get_label(): list(line.get_ydata()) for line in losses.lines}
    assert lines == {
        "training": [row.train_loss for row in rows],
        "validation": [row.valid_loss for row in rows],
    }
    assert axes["learning rate after the epoch"].get_yscale() == "log"
    assert axes["scores on the validation clips"].get_yscale() == "linear"


@pytest.mark.parametrize("losses", [[1.0, 0.0], [-1.0, 2.0], [1.0, 0.9]])
def test_losses_that_need_no_logarithm_or_have_none_are_drawn_as_they_are(
    monkeypatch, tmp_path, losses
):
    rows = [MetricsRow(epoch=i + 1, train_loss=loss) for i, loss in enumerate(losses)]
    axes = drawn(monkeypatch, tmp_path, rows)["loss"]
    assert axes.get_yscale() == "linear"
    assert [list(line.get_ydata()) for line in axes.lines] == [losses]  # no line of validation
