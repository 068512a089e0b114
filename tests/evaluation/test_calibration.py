"""Fitted calibrations against scikit-learn and scipy, stored in a model folder, and applied."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit
from sklearn.linear_model import LogisticRegression

from audiotag.errors import DataError, ModelError
from audiotag.evaluation.calibration import (
    OWN_DEVIATION,
    cross_fitted,
    fit_calibration,
    mean_gap,
    reliability,
    store_fitted_calibration,
)
from audiotag.evaluation.scoring import Scores
from audiotag.label_set import Labels
from audiotag.models.calibration import Calibration
from audiotag.models.config import read_config, store_calibration
from audiotag.models.folder import CONFIG_FILE
from audiotag.models.model import Model


def make_scores(targets, values):
    labels = Labels([f"label {i}" for i in range(targets.shape[1])])
    keys = tuple(f"clip {i}" for i in range(len(targets)))
    return Scores("model", "data", None, None, labels, keys, targets, values)


def overconfident(clips=4000, seed=0):
    """Scores whose logits are twice what is true, and of the first class 1.5 too high besides."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-2, 1.5, (clips, 5))
    targets = rng.random(true.shape) < expit(true)
    return make_scores(targets, expit(2 * true + 1.5 * (np.arange(5) == 0)))


def test_without_biases_of_their_own_it_is_logistic_regression():
    scores = overconfident()
    fitted = fit_calibration(scores, least_positives=None)
    reference = LogisticRegression(C=np.inf, tol=1e-10)
    reference.fit(logit(scores.values).reshape(-1, 1), scores.targets.ravel())
    assert fitted.slope == pytest.approx(reference.coef_[0, 0], rel=2e-3)  # Platt's targets
    assert fitted.biases == pytest.approx([reference.intercept_[0]] * 5, abs=5e-3)


def test_biases_of_their_own_are_the_likeliest_under_their_prior_and_rare_classes_share_one():
    scores = overconfident(300)
    few = scores.targets[:, 4].nonzero()[0][3:]
    scores.targets[few, 4] = False  # three clips are left
    fitted = fit_calibration(scores, least_positives=10)
    targets, logits = scores.targets, logit(scores.values)
    positives, negatives = targets.sum(), (~targets).sum()
    wanted = np.where(targets, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(x):
        z = x[0] * logits + x[1] + np.append(x[2:], 0)
        likelihood = (np.logaddexp(0, z) - wanted * z).sum()
        return likelihood + (x[2:] ** 2).sum() / (2 * OWN_DEVIATION**2)

    found = minimize(loss, [1.0] + [0.0] * 5, tol=1e-12).x
    assert fitted.slope == pytest.approx(found[0], abs=1e-4)
    assert fitted.biases == pytest.approx(found[1] + np.append(found[2:], 0), abs=1e-3)


def test_calibrated_scores_are_the_share_that_is_right_on_other_clips():
    fitted = fit_calibration(overconfident())
    other = overconfident(seed=1)
    before = reliability(other.targets, other.values)
    after = reliability(other.targets, fitted.scores(other.values, softmax=False))
    assert mean_gap(before) > 0.1 and mean_gap(after) < 0.02
    assert all(abs(x.right - x.score) < 0.06 for x in after if x.tags > 300)
    assert sum(x.tags for x in after) == other.targets.size


def test_each_part_is_fitted_on_the_others():
    scores = overconfident(100)
    values = cross_fitted(scores, False, None)
    for clip in (0, 57):
        changed = scores.values.copy()
        changed[clip] = 0.5
        again = cross_fitted(make_scores(scores.targets, changed), False, None)
        middle = again[clip, 0]  # 0.5 brought to what the clips of other parts say
        others = np.abs(again - values).max(1) > 0
        assert 0 < others.sum() < 100 and 0 < middle < 1
        flipped = scores.targets.copy()
        flipped[clip] = ~flipped[clip]
        again = cross_fitted(make_scores(flipped, scores.values), False, None)
        np.testing.assert_array_equal(again[clip], values[clip])


def test_a_softmax_gets_the_temperature_that_makes_its_labels_likeliest():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, (2000, 4))
    chosen = (true + rng.gumbel(size=true.shape)).argmax(1)
    values = np.exp(log_softmax(3 * true, 1))
    fitted = fit_calibration(make_scores(np.eye(4, dtype=bool)[chosen], values), softmax=True)
    assert fitted.slope == pytest.approx(1 / 3, rel=0.08) and fitted.biases == (0,) * 4
    calibrated = fitted.scores(values, softmax=True)
    np.testing.assert_allclose(calibrated, np.exp(log_softmax(3 * fitted.slope * true, 1)))
    assert calibrated.sum(1) == pytest.approx(1)


def test_scores_that_say_the_contrary_are_refused():
    scores = overconfident(200)
    with pytest.raises(DataError, match="cannot be calibrated"):
        fit_calibration(make_scores(~scores.targets, scores.values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_moved_along_a_line_of_logits(dtype):
    logits = np.linspace(-60, 12, 73)
    scores = np.stack([expit(logits), expit(logits)], 1).astype(dtype)
    moved = Calibration(0.5, (0.0, -1.0)).scores(scores, softmax=False)
    assert moved.dtype == dtype
    tolerance = 1e-12 if dtype == np.float64 else 2e-3
    np.testing.assert_allclose(moved[:, 0], expit(0.5 * logits), rtol=tolerance)
    np.testing.assert_allclose(moved[:, 1], expit(0.5 * logits - 1), rtol=tolerance)
    edges = Calibration(0.5, (0.0,)).scores(np.array([[0.0], [1.0]], dtype), softmax=False)
    assert np.isfinite(edges).all() and edges[0, 0] < 1e-20 and edges[1, 0] > 0.99


@pytest.mark.parametrize("slope", [0.0, -1.0, np.nan, np.inf])
def test_what_would_turn_scores_round_is_no_calibration(slope):
    with pytest.raises(ValueError, match="slope above 0"):
        Calibration(slope, (0.0,))
    with pytest.raises(ValueError, match="finite"):
        Calibration(1.0, (np.nan,))


@pytest.fixture
def folder(tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path / "model")
    return tmp_path / "model"


def test_it_is_kept_in_the_model_folder_and_the_rest_of_it_too(folder):
    before = json.loads((folder / CONFIG_FILE).read_text())
    assert "calibration" not in before
    fitted = Calibration(0.7, tuple(np.random.default_rng(0).normal(size=527).tolist()))
    store_calibration(folder, fitted)
    after = json.loads((folder / CONFIG_FILE).read_text())
    assert {k: v for k, v in after.items() if k != "calibration"} == before
    Model.load(folder).save(folder.with_name("copy"))
    assert read_config(folder.with_name("copy")).calibration == fitted
    with pytest.raises(ModelError, match="has 527 labels, not 1"):
        store_calibration(folder, Calibration(1.0, (0.0,)))
    wrong = {**after, "calibration": {"slope": 1.0, "biases": [0.0]}}
    (folder / CONFIG_FILE).write_text(json.dumps(wrong))
    with pytest.raises(ModelError, match="1 biases of a calibration for 527 labels"):
        read_config(folder)


def test_what_is_stored_is_measured_on_other_clips(folder):
    made = overconfident(500)
    labels = read_config(folder).labels
    targets, values = np.zeros((500, 527), bool), np.full((500, 527), 1e-6)
    targets[:, :5], values[:, :5] = made.targets, made.values
    scores = Scores("model", "data", None, None, labels, made.keys, targets, values)
    stored = store_fitted_calibration(folder, scores, least_positives=20)
    assert read_config(folder).calibration == fit_calibration(scores, least_positives=20)
    assert stored.own == (targets.sum(0) >= 20).sum() > 0
    assert stored.before == reliability(targets, values)
    after = reliability(targets, cross_fitted(scores, False, 20))
    assert stored.after == after and mean_gap(after) < mean_gap(stored.before)


def test_both_engines_apply_it_and_the_network_stays_as_it_is(folder, tmp_path):
    pytest.importorskip("onnx", reason="the export's packages: pip install -e '.[export]'")
    from audiotag.models.onnx.export import export
    from audiotag.tagging.open import open_engine

    waveforms = np.random.default_rng(0).normal(0, 0.1, (2, 96_000)).astype(np.float32)
    raw = Model.load(folder).score_windows(waveforms, double=True)
    fitted = Calibration(1.7, tuple(np.random.default_rng(1).normal(size=527).tolist()))
    export(Model.load(folder), folder / "model.onnx")
    store_calibration(folder, fitted)  # after the export
    model = Model.load(folder)
    expected = expit(1.7 * logit(raw) + np.array(fitted.biases))
    np.testing.assert_allclose(model.score_windows(waveforms, double=True), expected, rtol=1e-6)
    given = model.scores_of(model(torch.from_numpy(waveforms))).detach().numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-3)
    export(model, tmp_path / "again.onnx")
    for source in (folder, tmp_path / "again.onnx"):
        engine = open_engine(source, "cpu", "onnx")
        np.testing.assert_allclose(engine.score_windows(waveforms), expected, atol=1e-4)
