"""Fitted thresholds against trying every one, stored in a model folder, and used by tag."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score

from audiotag.errors import ModelError
from audiotag.evaluation.scoring import Scores
from audiotag.evaluation.thresholds import f1_scores, fit_thresholds
from audiotag.label_set import Labels
from audiotag.models.config import read_config, store_thresholds
from audiotag.models.folder import CONFIG_FILE
from audiotag.models.model import Model
from audiotag.tagging.open import open_engine
from audiotag.tagging.tag import TagOptions, tag_file


def make_scores(targets, values):
    labels = Labels([f"label {i}" for i in range(targets.shape[1])])
    keys = tuple(f"clip {i}" for i in range(len(targets)))
    return Scores("model", "data", None, None, labels, keys, targets, values)


@pytest.mark.parametrize("decimals", [8, 1])  # one decimal: many tied scores
def test_no_threshold_reaches_a_higher_f1(decimals):
    rng = np.random.default_rng(0)
    targets = rng.random((80, 6)) < [0.02, 0.05, 0.2, 0.5, 0.9, 0.3]
    values = np.round(np.clip(rng.normal(0.4, 0.2, (80, 6)) + 0.2 * targets, 0, 1), decimals)
    fitted = fit_thresholds(make_scores(targets, values), 1)
    for i in range(6):
        tried = [
            f1_score(targets[:, i], values[:, i] >= threshold)
            for threshold in np.unique(values[:, i])
        ]
        reached = f1_score(targets[:, i], values[:, i] >= fitted.values[i])
        assert reached == pytest.approx(max(tried), abs=1e-12)
        assert fitted.f1[i] == pytest.approx(reached, abs=1e-12)
    together = f1_scores(targets, values, fitted.values)
    np.testing.assert_allclose(together, fitted.f1, atol=1e-12)


def test_a_threshold_lies_between_the_scores_it_parts():
    targets = np.array([[1, 1], [1, 0], [0, 1]], bool)
    values = np.array([[0.9, 0.6], [0.5, 0.2], [0.1, 0.4]])
    assert fit_thresholds(make_scores(targets, values), 1).values == pytest.approx([0.3, 0.3])


def test_classes_without_a_clip_get_the_threshold_that_suits_all_others_together():
    rng = np.random.default_rng(1)
    targets = rng.random((50, 4)) < [0.3, 0.0, 0.2, 0.5]
    values = np.clip(rng.normal(0.4, 0.2, (50, 4)) + 0.2 * targets, 0, 1)
    fitted = fit_thresholds(make_scores(targets, values), 1)
    others = [0, 2, 3]
    tried = [
        f1_score(targets[:, others], values[:, others] >= x, average="micro")
        for x in np.unique(values[:, others])
    ]
    reached = f1_score(targets[:, others], values[:, others] >= fitted.values[1], average="micro")
    assert reached == pytest.approx(max(tried)) and fitted.values[1] == fitted.fallback
    assert np.isnan(fitted.f1[1]) and np.isfinite(fitted.f1[others]).all()


@pytest.fixture
def folder(tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path / "model")
    return tmp_path / "model"


def test_thresholds_are_kept_in_the_model_folder_and_the_rest_of_it_too(folder):
    before = json.loads((folder / CONFIG_FILE).read_text())
    assert "thresholds" not in before and Model.load(folder).thresholds is None
    values = np.random.default_rng(0).random(527)
    store_thresholds(folder, values.tolist())
    after = json.loads((folder / CONFIG_FILE).read_text())
    assert {k: v for k, v in after.items() if k != "thresholds"} == before
    tagger = Model.load(folder)
    np.testing.assert_array_equal(tagger.thresholds, values)
    tagger.save(folder.with_name("copy"))
    np.testing.assert_array_equal(Model.load(folder.with_name("copy")).thresholds, values)


def test_thresholds_of_other_labels_are_refused(folder):
    with pytest.raises(ModelError, match="has 527 labels, not 3"):
        store_thresholds(folder, [0.5] * 3)
    config = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**config, "thresholds": [0.5]}))
    with pytest.raises(ModelError, match="1 thresholds for 527 labels"):
        read_config(folder)


@pytest.mark.slow
def test_tag_shows_what_reaches_its_own_threshold_on_both_engines(folder, make_wav, tmp_path):
    pytest.importorskip("onnx", reason="the export's packages: pip install -e '.[export]'")
    from audiotag.models.onnx.export import export

    wav = make_wav(tmp_path / "tone.wav", 3.0)
    every = tag_file(open_engine(folder, "cpu"), wav, TagOptions(top_k=0)).tags
    export(Model.load(folder), folder / "model.onnx", waveform=True)
    names = Labels.audioset().names
    score = {tag.label: tag.score for tag in every}
    chosen = {every[i].label for i in (3, 100, 526)}  # the lowest score of all among them
    store_thresholds(folder, [score[name] + (-0.01 if name in chosen else 0.01) for name in names])
    copy = shutil.copytree(folder, tmp_path / "without")
    (copy / "model.onnx").unlink()
    for model, engine in ((folder, "onnx"), (folder, "torch"), (copy, "auto")):
        tagger = open_engine(model, "cpu", engine)
        heard = tag_file(tagger, wav, TagOptions(timeline=True))
        assert {tag.label for tag in heard.tags} == chosen
        assert heard.segments[0].tags == heard.tags
        (first,) = tag_file(tagger, wav, TagOptions(top_k=1)).tags
        assert first.label == every[3].label
        assert len(tag_file(tagger, wav, TagOptions(top_k=0, threshold=0)).tags) == 527
        above_all = TagOptions(top_k=0, threshold=every[0].score + 1e-3)
        (highest,) = tag_file(tagger, wav, above_all).tags
        assert highest.label == every[0].label and highest.guess
