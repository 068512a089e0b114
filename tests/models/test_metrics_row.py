"""Rows of `metrics.jsonl`: what is read is what is written, of other versions too."""

import json
import math

from audiotag.models.metrics_row import MetricsRow, read_metrics

FIRST = (
    '{"epoch": 1, "step": 3, "train_loss": 0.5, "lr": 0.003, "clips_per_second": 69.12, '
    '"data_wait": 0.0, "valid_loss": 0.25, "valid_accuracy": 1.0, "valid_map": NaN, "time": 1.7e9}'
)
OLDER = '{"epoch": 2, "step": 6, "train_loss": 0.5, "valid_loss": 0.25, "valid_map": 0.0}'
NEWER = '{"epoch": 3, "step": 9, "valid_loss": 0.25, "time": 1.7e9, "valid_auc": 0.75}'


def test_what_is_read_is_what_was_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f"{FIRST}\n{OLDER}\n{NEWER}\n")
    rows = read_metrics(tmp_path)
    assert (rows[0].epoch, rows[0].step, rows[0].valid_accuracy) == (1, 3, 1.0)
    assert math.isnan(rows[0].valid_map)
    assert rows[1].valid_accuracy is None and rows[1].valid_map == 0.0
    for row, line in zip(rows, (FIRST, OLDER, NEWER), strict=True):
        ours, theirs = (json.loads(x, parse_constant=str) for x in (row.to_json(), line))
        numbers = {key: x for key, x in theirs.items() if x != "NaN"}  # which is no JSON
        assert list(ours.items()) == list(numbers.items())


def test_a_row_that_a_kill_has_torn_is_not_read(tmp_path):
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text(f'{OLDER}\n{{"epoch": 3, "st')
    assert [row.step for row in read_metrics(tmp_path)] == [6]


def test_curves_are_drawn_of_all_figures_but_the_step_and_the_time():
    row = MetricsRow(epoch=2, step=6, train_loss=0.5, valid_map=0.0, time=1.7e9)
    assert row.curves == {"epoch": 2, "train_loss": 0.5, "valid_map": 0.0}


def test_a_row_says_what_its_figures_are_of_beside_them(tmp_path):
    row = MetricsRow(step=3, valid_map=0.5, weights_sha256="ab", data="cd", split="é", fold=2)
    assert row.figures == {"epoch": 0, "step": 3, "valid_map": 0.5}
    (tmp_path / "metrics.jsonl").write_text(f"{row.to_json()}\n", encoding="utf-8")
    assert read_metrics(tmp_path) == [row]


def test_words_of_another_version_are_no_figures(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "valid_map": 0.5, "host": "here"}\n')
    assert read_metrics(tmp_path)[0].figures == {"epoch": 0, "step": 3, "valid_map": 0.5}
