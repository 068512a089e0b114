"""Fine-tuning from the command line: the probe, what comes after it, negatives, kept labels."""

import json

import click.testing
import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from audiotag.cli import cli
from audiotag.data.dataset import ClipDataset
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.evaluation.evaluate import EvaluationPlan, evaluate
from audiotag.evaluation.scoring import score
from audiotag.models.config import read_config
from audiotag.models.metrics_row import read_metrics
from audiotag.models.model import Model
from audiotag.models.onnx.model import OnnxModel
from audiotag.models.provenance import read_trained_on
from audiotag.tagging.locate import model_folder
from audiotag.tagging.open import open_engine
from audiotag.training.recipe.toml import load_recipe

RATE = 32_000
PITCHES = (300, 1000, 3000)
HEAD = {"head.fc.weight", "head.fc.bias"}
DEFAULT = model_folder("default")  # has heard tones; random weights hardly tell them apart
DEFAULT_HEAD = {"classifier.3.weight", "classifier.3.bias"}


def write_sounds(folder, rows):
    """A data set of sounds of 0.6 s: a pitch in Hz, or 0 for noise, with label and split."""
    rng, lines = np.random.default_rng(0), ["path,label,split"]
    for i, (pitch, label, split) in enumerate(rows):
        time = np.arange(round(0.6 * RATE)) / RATE
        wave = 0.3 * np.sin(2 * np.pi * pitch * (1 + 0.05 * rng.standard_normal()) * time)
        wave = wave + (0.02 if pitch else 0.3) * rng.standard_normal(len(time))
        soundfile.write(folder / f"{i}.wav", wave, RATE)
        lines.append(f"{i}.wav,{label},{split}")
    (folder / "t.csv").write_text("\n".join(lines))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


def pitches(count, split):
    return [(PITCHES[i % 3], f"pitch {PITCHES[i % 3]}", split) for i in range(count)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Thirty tones to learn from and thirty to validate on."""
    rows = pitches(30, "train") + pitches(30, "valid")
    return write_sounds(tmp_path_factory.mktemp("tones"), rows)


@pytest.fixture
def start(tmp_path, tiny_tagger):
    tiny_tagger.save(tmp_path / "start")
    return tmp_path / "start"


def finetune(start, data, run, *words):
    words = ["finetune", start, "--data", data, "--out", run, "--device", "cpu", *words]
    result = click.testing.CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.output


def refusal(start, data, run, *words):
    words = ["finetune", start, "--data", data, "--out", run, "--device", "cpu", *words]
    result = click.testing.CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code
    return str(result.exception)


def changed(run, start):
    """Names of the weights that differ."""
    ours, before = (load_file(folder / "model.safetensors") for folder in (run, start))
    return {key for key in before if not torch.equal(ours[key], before[key])}


@pytest.mark.slow
def test_the_probe_learns_the_head_alone_and_is_cross_validated(data, tmp_path):
    told = finetune("default", data, tmp_path / "run", "--method", "probe")
    assert "on 30 clips in 5-fold cross-validation" in told
    assert changed(tmp_path / "run", DEFAULT) == DEFAULT_HEAD
    (result,) = evaluate(EvaluationPlan((str(tmp_path / "run"),), data)).evaluations
    assert result.clips == 30 and result.accuracy > 0.9
    probe = json.loads((tmp_path / "run" / "probe.json").read_text())
    assert probe["value"] == pytest.approx(result.accuracy, abs=0.1)
    (row,) = read_metrics(tmp_path / "run")
    assert row.step == 0 and row.valid_accuracy == pytest.approx(result.accuracy)
    assert isinstance(open_engine(tmp_path / "run", "cpu"), OnnxModel)
    assert "has never heard anything else" in told  # a closed set


@pytest.mark.slow
def test_auto_goes_on_from_the_probe_and_keeps_what_is_better(data, start, tmp_path):
    finetune(start, data, tmp_path / "probe", "--method", "probe")
    told = finetune(start, data, tmp_path / "auto", "--set", "optim.lr=0.3")
    probe, auto = (score(Model.load(tmp_path / x), data, "valid") for x in ("probe", "auto"))
    right = [(x.values.argmax(1) == x.targets.argmax(1)).mean() for x in (probe, auto)]
    assert right[1] >= right[0]
    if "the probe is kept" in told:
        assert changed(tmp_path / "auto", tmp_path / "probe") == set()
    rows = read_metrics(tmp_path / "auto")
    assert rows[0].step == 0 and rows[0].valid_accuracy == pytest.approx(right[0])


@pytest.mark.slow
def test_a_perfect_start_is_not_trained_on(tmp_path):
    rows = [(pitch, f"pitch {pitch}", x) for x in ("train", "valid") for pitch in (300, 3000) * 15]
    data = write_sounds(tmp_path, rows)
    finetune("default", data, tmp_path / "run")
    (row,) = read_metrics(tmp_path / "run")
    assert row.valid_accuracy == 1.0


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_weights(data, start, tmp_path):
    finetune(start, data, tmp_path / "run", "--epochs", 1)
    before = load_file(tmp_path / "run" / "model.safetensors")
    finetune(start, data, tmp_path / "run", "--epochs", 1, "--resume")
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(after[key], x) for key, x in before.items())
    assert "not with model.head = random (it began with probe)" in refusal(
        start, data, tmp_path / "run", "--epochs", 1, "--resume", "--method", "full"
    )


@pytest.mark.slow
def test_without_a_validation_part_all_clips_are_learnt_in_the_end(start, tmp_path):
    few = write_sounds(tmp_path, pitches(12, "train"))
    told = finetune(start, few, tmp_path / "few")
    assert "has no split valid: the probe is cross-validated; all 12 are learnt" in told
    (tmp_path / "more").mkdir()
    more = write_sounds(tmp_path / "more", pitches(180, "train"))
    finetune(start, more, tmp_path / "run", "--set", "optim.lr=1e-9", "--set", "optim.min_lr=0.0")
    noted = read_trained_on(tmp_path / "run")
    assert noted.train.clips == 180 and 15 < noted.valid.clips < 60
    assert noted.valid.share == (0, 20)
    assert json.loads((tmp_path / "run" / "probe.json").read_text())["clips"] == 180
    (result,) = evaluate(EvaluationPlan((str(tmp_path / "run"),), more)).evaluations
    assert result.clips == noted.valid.clips == result.learnt
    assert result.split == "train[0%:20%]"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["background", "None", ""])
def test_recordings_of_none_of_the_labels_are_negatives(tmp_path, name):
    rows = [
        (pitch, f"pitch {pitch}" if pitch else name, split)
        for split in ("train", "valid")
        for pitch in (300, 3000, 0) * 12
    ]
    data = write_sounds(tmp_path, rows)
    told = finetune("default", data, tmp_path / "run", "--method", "probe")
    assert ("taken for recordings of none of the labels" in told) == bool(name)
    assert "has never heard anything else" not in told
    config = read_config(tmp_path / "run")
    assert config.labels.names == ("pitch 300", "pitch 3000") and not config.softmax
    scores = score(Model.load(tmp_path / "run"), data, "valid")
    assert scores.targets.sum() == 24 and len(scores.keys) == 36
    heard = scores.values >= np.array(config.thresholds)
    assert (heard == scores.targets).mean() > 0.9
    assert not heard[~scores.targets.any(1)].all(1).any()


@pytest.mark.slow
def test_a_label_called_noise_can_be_learnt(start, tmp_path):
    rows = [(p, "noise" if not p else "tone", x) for x in ("train", "valid") for p in (0, 900) * 5]
    data = write_sounds(tmp_path, rows)
    finetune(start, data, tmp_path / "run", "--set", "data.negatives=false")
    assert read_config(tmp_path / "run").labels.names == ("noise", "tone")


def test_nothing_to_tell_a_label_from_is_named(start, tmp_path):
    data = write_sounds(tmp_path, [(300, "pump", "train")] * 1 + [(400, "pump", "train")] * 9)
    told = refusal(start, data, tmp_path / "run", "--keep")
    assert "there is nothing to tell it from; add recordings of other sounds" in told


@pytest.fixture(scope="module")
def pump(tmp_path_factory):
    """A pump that fails, one that works, and other sounds."""
    kinds = (300, "pump failing"), (3000, "pump works"), (0, "background")
    rows = [(*kind, split) for split in ("train", "valid") for kind in kinds * 12]
    return write_sounds(tmp_path_factory.mktemp("pump"), rows)


def old_scores(folder, data):
    """Scores of AudioSet's labels, as the model in a folder hears the validation clips."""
    model, clips = Model.load(folder), ClipDataset(data, "valid")
    waves = [np.pad(clips.read(i) / 32768, (0, 96_000 - clips.lengths[i])) for i in range(36)]
    return model.score_windows(np.stack(waves).astype(np.float32))[:, :527]


@pytest.mark.slow
def test_kept_labels_are_what_they_were_and_new_ones_beside_them(pump, tmp_path):
    told = finetune("default", pump, tmp_path / "run", "--keep", "--method", "probe")
    before, after = Model.load(DEFAULT), Model.load(tmp_path / "run")
    assert after.labels.names == (*before.labels.names, "pump failing", "pump works")
    assert after.labels[0].mid == before.labels[0].mid
    assert "the 527 labels from before, on 36 clips: scores moved by 0.0000 at most" in told
    wave = 0.1 * torch.randn(2, 4 * RATE)
    kept, former = after.scores_of(after(wave))[:, :527], before.scores_of(before(wave))
    torch.testing.assert_close(kept, former, atol=1e-5, rtol=1e-5)
    scores = score(after, pump, "valid")
    assert ((scores.values[:, 527:] > 0.5) == scores.targets[:, 527:]).mean() > 0.9


@pytest.mark.slow
def test_kept_labels_hardly_move_where_all_layers_learn(pump, start, tmp_path):
    words = ("--keep", "--method", "full", "--set", "train.batch_size=6", "--epochs", 8)
    told = finetune(start, pump, tmp_path / "run", *words)
    assert len(changed(tmp_path / "run", start) - HEAD) > 10  # the backbone learnt
    moved = np.abs(old_scores(tmp_path / "run", pump) - old_scores(start, pump))
    assert moved.mean() < 0.02 and f"{moved.mean():.4f} on average" in told


@pytest.mark.slow
def test_what_cannot_be_kept_is_refused(pump, data, start, tmp_path, tiny_tagger):
    finetune(start, data, tmp_path / "single", "--method", "probe")
    told = refusal(tmp_path / "single", pump, tmp_path / "a", "--keep")
    assert "gives each clip one of its labels, so none can be added" in told
    finetune(start, pump, tmp_path / "kept", "--keep", "--method", "probe")
    told = refusal(tmp_path / "kept", pump, tmp_path / "b", "--keep")
    assert "call yours by another name, as 'my pump failing'" in told


def test_early_stop_and_best_weights_are_in_the_recipe(data, start, tmp_path):
    finetune(start, data, tmp_path / "run", "--method", "full", "--epochs", 2)
    recipe = load_recipe(tmp_path / "run" / "recipe.toml")
    assert recipe.train.patience and recipe.train.final == "best"
    assert recipe.train.metric == "valid_accuracy" and recipe.model.head == "random"


@pytest.mark.slow
def test_a_label_of_which_nothing_is_learnt_is_named(start, tmp_path):
    rows = [*pitches(6, "train"), (5000, "whistle", "valid"), (300, "pitch 300", "valid")]
    told = finetune(start, write_sounds(tmp_path, rows), tmp_path / "run")
    assert "no clip to learn from has the label whistle" in told
    assert "validation clips: 2, too few to tell" in told


@pytest.mark.slow
def test_both_engines_give_kept_labels_their_scores(pump, tmp_path):
    finetune("default", pump, tmp_path / "run", "--keep", "--method", "probe")
    clips = ClipDataset(pump, "valid")
    waves = [np.pad(clips.read(i) / 32768, (0, 96_000 - clips.lengths[i])) for i in range(36)]
    waves = np.stack(waves).astype(np.float32)
    onnx, whole = open_engine(tmp_path / "run", "cpu"), Model.load(tmp_path / "run")
    assert isinstance(onnx, OnnxModel)
    former = open_engine(DEFAULT, "cpu").score_windows(waves)
    for scores in (onnx.score_windows(waves), whole.score_windows(waves)):
        np.testing.assert_allclose(scores[:, :527], former, atol=1e-3)
        assert scores[:, 527:].max() > 0.5
    np.testing.assert_allclose(onnx.score_windows(waves), whole.score_windows(waves), atol=1e-3)


@pytest.mark.slow
def test_a_start_that_no_gain_can_be_told_from_is_not_trained_on(tmp_path):
    """One wrong label among 60 validation clips: weights that tell it are no better."""
    rows = [(pitch, f"pitch {pitch}", x) for x in ("train", "valid") for pitch in (300, 3000) * 30]
    rows[-1] = (rows[-1][0], "pitch 300", "valid")
    told = finetune("default", write_sounds(tmp_path, rows), tmp_path / "run")
    (row,) = read_metrics(tmp_path / "run")
    assert row.valid_accuracy == pytest.approx(59 / 60)
    assert "no gain could be told from chance" in told


@pytest.mark.slow
def test_labels_that_clips_may_have_several_of_get_thresholds_by_either_method(tmp_path):
    both = (300, '"low;pitched"'), (3000, "pitched"), (0, "noise of a kind")
    rows = [(*kind, split) for split in ("train", "valid") for kind in both * 12]
    data = write_sounds(tmp_path, rows)
    words = {"probe": (), "full": ("--epochs", 8)}
    for method, more in words.items():
        finetune("default", data, tmp_path / method, "--method", method, *more)
        config = read_config(tmp_path / method)
        assert not config.softmax and config.thresholds is not None
        scores = score(Model.load(tmp_path / method), data, "valid")
        heard = scores.values >= np.array(config.thresholds)
        assert (heard == scores.targets).mean() > 0.9
