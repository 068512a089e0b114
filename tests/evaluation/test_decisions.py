"""Thresholds from decisions, compared with scikit-learn's regression; and what takes decisions."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from audiotag.cli import cli
from audiotag.data.recordings import FileAudio
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import DataError
from audiotag.evaluation.decisions import (
    PENALTY,
    Decision,
    logistic_fit,
    logit,
    read_decisions,
    review,
    store_reviewed,
)
from audiotag.models.config import read_config
from audiotag.tagging.locate import model_folder

COLUMNS = ("path", "start", "end", "label", "mid", "score", "decision")


def drawn(count, label="Dog", seed=0, slope=1.5, level=0.5):
    """Decisions of events that are right with a known probability."""
    random = np.random.default_rng(seed)
    scores = random.uniform(0.05, 0.95, count)
    right = random.random(count) < 1 / (1 + np.exp(-(slope * logit(scores) + level)))
    return [Decision(label, *pair) for pair in zip(scores.tolist(), right.tolist(), strict=True)]


def write(path, decisions):
    names = {True: "right", False: "wrong", None: "unsure"}
    rows = [
        {"path": "/a.wav", "start": i, "end": i + 1, "mid": None, "label": x.label}
        | {"score": x.score, "decision": names[x.right]}
        for i, x in enumerate(decisions)
    ]
    if path.suffix == ".json":
        path.write_text(json.dumps({"decisions": rows}))
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
    return path


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(model_folder(None), tmp_path / "model"))


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_that_of_scikit_learn(seed):
    decisions = drawn(80, seed=seed)
    scores, right = (np.array([getattr(x, n) for x in decisions]) for n in ("score", "right"))
    expected = LogisticRegression(C=1 / (2 * PENALTY), tol=1e-10).fit(logit(scores)[:, None], right)
    level, slope = logistic_fit(scores, right)
    assert slope == pytest.approx(expected.coef_[0, 0], rel=1e-3)
    assert level == pytest.approx(expected.intercept_[0], rel=1e-3, abs=1e-3)
    (found,) = review(decisions, 0.9)
    at = logit(np.array([found.threshold]))[:, None]
    assert expected.predict_proba(at)[0, 1] == pytest.approx(0.9, abs=1e-3)


def test_of_many_decisions_the_threshold_has_the_precision():
    decisions = drawn(20_000, slope=2.0, level=-1.0)
    (found,) = review(decisions, 0.8)
    near = [x.right for x in decisions if abs(x.score - found.threshold) < 0.02]
    assert np.mean(near) == pytest.approx(0.8, abs=0.05)
    assert found.above_right / found.above > 0.8


def test_scores_that_separate_have_a_threshold_between():
    decisions = [Decision("Dog", 0.2, False)] * 30 + [Decision("Dog", 0.7, True)] * 30
    (found,) = review(decisions, 0.9)
    assert 0.2 < found.threshold < 0.7 and (found.above, found.above_right) == (30, 30)


def test_few_decisions_and_scores_that_say_nothing_give_no_threshold():
    wrong = [Decision("Cat", x / 100, False) for x in range(20, 80)]
    unsure = [Decision("Dog", 0.5, None)] * 30
    cat, dog = review([*wrong, *drawn(49), *unsure], 0.9)
    assert (cat.threshold, cat.decided) == (None, 60)
    assert (dog.threshold, dog.decided) == (None, 49)


@pytest.mark.parametrize("name", ["decisions.csv", "decisions.json"])
def test_thresholds_are_stored_and_others_stay(tmp_path, model, name):
    path = write(tmp_path / name, [*drawn(60), *drawn(20, "Cat"), Decision("Dog", 0.4, None)])
    before = read_config(model)
    done = CliRunner().invoke(cli, ["evaluate", str(model), str(path), "--fit-thresholds"])
    assert done.exit_code == 0, done.output
    assert "1 of 2 thresholds stored" in done.output and "30 more decisions" in done.output
    after = read_config(model)
    places = {label.name: i for i, label in enumerate(after.labels)}
    (expected,) = review(drawn(60), 0.9)
    assert after.thresholds[places["Dog"]] == expected.threshold
    pairs = zip(before.thresholds, after.thresholds, strict=True)
    assert [i for i, (a, b) in enumerate(pairs) if a != b] == [places["Dog"]]


def test_decisions_of_another_model_are_refused(tmp_path, model):
    path = write(tmp_path / "d.csv", drawn(60, "Squeak of my door"))
    with pytest.raises(DataError, match="Squeak of my door"):
        store_reviewed(model, path, 0.9)


@pytest.mark.parametrize(
    "text", ["", "path,label\na,b\n", "label,decision,score\nDog,right,2\n", "label,score\n\0,1\n"]
)
def test_other_tables_are_refused(tmp_path, text):
    path = tmp_path / "d.csv"
    path.write_text(text)
    if text:
        with pytest.raises(DataError, match="no decisions"):
            read_decisions(path)
    else:
        assert read_decisions(path) == []


@pytest.mark.parametrize("text", ["[]", "{", '{"decisions": [1]}', '{"decisions": [{}]}'])
def test_other_json_is_refused(tmp_path, text):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no decisions"):
        read_decisions(path)


def test_decisions_without_fit_thresholds_say_what_to_add(tmp_path, model):
    path = write(tmp_path / "d.csv", drawn(60))
    done = CliRunner().invoke(cli, ["evaluate", str(model), str(path)])
    assert done.exit_code == 2 and "add --fit-thresholds" in done.output


def test_prepare_csv_takes_the_events_that_are_right(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000 * 9), 16_000)
    said = [True, False, None, True]
    path = write(tmp_path / "d.csv", [Decision("Dog", 0.5, right) for right in said])
    path.write_text(path.read_text().replace("/a.wav", str(tmp_path / "a.wav")))
    source = CsvSource(path)
    found = list(source.recordings(0, len(source)))
    assert len(source) == 2 and [(x.audio.start, x.audio.end) for x in found] == [(0, 1), (3, 4)]
    assert all(isinstance(x.audio, FileAudio) and x.labels == ("Dog",) for x in found)
    assert "2 events whose decision is not right" in source.notes[-1]
    path.write_text(path.read_text().replace("right", "wrong"))
    with pytest.raises(DataError, match="no event"):
        CsvSource(path)
