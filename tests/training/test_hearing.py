"""What a model does in training it does where it is used: on short clips and in windows."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import DataError, RecipeError
from audiotag.evaluation.scoring import score
from audiotag.models.config import read_config
from audiotag.models.metrics_row import MetricsRow, read_metrics
from audiotag.models.model import Model
from audiotag.models.onnx.export import export
from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.tag import TagOptions, tag_file
from audiotag.training.loop import train
from audiotag.training.recipe.toml import parse_recipe
from audiotag.training.run_folder.history import History
from audiotag.training.setup import start

CPU = torch.device("cpu")
RATE = 32_000
PITCHES = (300, 1000, 3000)
COARSE = {"n_mels": 64, "hop_length": 640}  # 51 frames a second
ARCHITECTURES = {
    "test_resnet": {},
    "test_efficientnet": {},
    "mn01_as": {},
    "test_convnext": {},
    "ced_tiny": {"embed_dim": 48, "num_heads": 2, "depth": 2},
}


def write_tones(folder, seconds, unlabelled=()):
    """Noisy tones of three pitches; clips of `unlabelled` parts have no label."""
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(24):
        split = "valid" if i % 4 == 0 else "train"
        time = np.arange(round(seconds[i % len(seconds)] * RATE)) / RATE
        wave = 0.3 * np.sin(2 * np.pi * PITCHES[i % 3] * time)
        soundfile.write(folder / f"{i}.wav", wave + 0.02 * rng.standard_normal(len(time)), RATE)
        label = "" if split in unlabelled else f"pitch {PITCHES[i % 3]}"
        rows.append(f"{i}.wav,{label},{split}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Tones of 1 s."""
    return write_tones(tmp_path_factory.mktemp("second"), (1.0,))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Tones of 0.7, 1.5 and 4 s: shorter than the crop, as long, and longer."""
    return write_tones(tmp_path_factory.mktemp("mixed"), (0.7, 1.5, 1.5, 4.0, 1.1))


def recipe(architecture, args, crop, epochs=6, **train):
    values = {
        "model": {"architecture": architecture, "args": args},
        "features": {"args": COARSE},
        "data": {"crop_seconds": crop},
        "optim": {"lr": 3e-3, "warmup_epochs": 1.0, "clip_grad": 1.0},
        "train": {"epochs": epochs, "save_every": epochs, "batch_size": 6, "label_smoothing": 0.0}
        | {"task": "single", "metric": "valid_accuracy"}
        | train,
    }
    return parse_recipe(values)


def check_agreement(run, data, folder):
    """Validation, evaluation, tagging in torch and by ONNX give the same scores and figures."""
    measured = read_metrics(run)[-1]
    tagger = Model.load(run)
    scores = score(tagger, data, "valid")
    correct = scores.values.argmax(1) == scores.targets.argmax(1)
    assert measured.valid_accuracy == pytest.approx(correct.mean(), abs=1e-6)
    chances = scores.values[scores.targets]  # those of the labels
    if tagger.window is None:
        assert measured.valid_loss == pytest.approx(-np.log(chances).mean(), abs=1e-4)
    export(tagger, folder / "model.onnx")
    onnx = OnnxModel.load(folder / "model.onnx")
    assert (onnx.min_duration, onnx.window) == (tagger.min_duration, tagger.window)
    np.testing.assert_allclose(score(onnx, data, "valid").values, scores.values, atol=1e-3)
    for key, expected in zip(scores.keys, scores.values, strict=True):
        path = data.parent / f"{int(key.split('_')[0])}.wav"
        for engine in (tagger, onnx):
            tags = tag_file(engine, path, TagOptions(top_k=0)).tags
            found = {tag.label: tag.score for tag in tags}
            ours = [found[name] for name in tagger.labels.names]
            np.testing.assert_allclose(ours, expected, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_short_clips_are_heard_as_they_were_learnt(second, tmp_path, name):
    run = train(recipe(name, ARCHITECTURES[name], [1.0]), second, tmp_path / "run", CPU)
    config = read_config(run)
    assert (config.min_duration, config.window) == (1.0, None)
    check_agreement(run, second, tmp_path)
    # Heard as before, among two seconds of silence, the scores are others.
    longer = Model.load(run)
    longer.config = replace(longer.config, min_duration=3.0)
    apart = score(longer, second, "valid").values - score(Model.load(run), second, "valid").values
    assert np.abs(apart).max() > 1e-5


@pytest.mark.slow
def test_clips_of_any_length_are_measured_as_they_are_used(mixed, tmp_path):
    changed = recipe("test_resnet", {}, [2.0, 1.5])
    run = train(changed, mixed, tmp_path / "run", CPU)
    assert read_config(run).min_duration == 1.5
    check_agreement(run, mixed, tmp_path)


def test_a_network_of_one_input_size_hears_windows_of_it_everywhere(mixed, tmp_path):
    size = {"img_size": [64, 64], "patch_size": 16}
    frames = round(64 * COARSE["hop_length"] / RATE - COARSE["hop_length"] / RATE, 3)  # 1.26 s
    run = train(recipe("test_vit", size, [frames]), mixed, tmp_path / "run", CPU)
    config = read_config(run)
    assert config.min_duration == config.window == frames
    check_agreement(run, mixed, tmp_path)
    long = mixed.parent / "3.wav"  # 4 s
    engine = Model.load(run)
    segments = tag_file(engine, long, TagOptions(timeline=True, top_k=1)).segments
    assert [round(x.start, 2) for x in segments] == [0, 1.26, 2.52, 2.74]
    overlapping = TagOptions(timeline=True, top_k=1, window=3.0, hop=2.0)
    parts = tag_file(engine, long, overlapping).segments
    assert all(x.end - x.start <= frames + 1e-6 for x in parts)
    assert all(b.start <= a.end + 1e-6 for a, b in pairwise(parts))  # no gaps where none were asked


def test_unlabelled_validation_clips_are_no_single_labels(tmp_path):
    data = write_tones(tmp_path, (1.0,), unlabelled=("valid",))
    with pytest.raises(RecipeError, match="6 validation clips have no label and 0 have several"):
        train(recipe("test_resnet", {}, [1.0]), data, tmp_path / "run", CPU)
    auto = recipe("test_resnet", {}, [1.0], task="auto", metric="valid_map")
    with pytest.raises(DataError, match="none of the 6 validation clips has a label"):
        train(auto, data, tmp_path / "run", CPU)
    by_loss = recipe("test_resnet", {}, [1.0], epochs=1, task="auto", metric="valid_loss")
    run = train(by_loss, data, tmp_path / "run", CPU)
    assert not read_config(run).softmax
    (row,) = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    assert "valid_map" not in row and math.isfinite(row["valid_loss"])


def test_what_is_no_number_never_ranks_and_is_never_written(tmp_path):
    by_loss = recipe("test_resnet", {}, [1.0], metric="valid_loss")
    history = History(tmp_path, 0, by_loss)
    for step, loss in enumerate([math.nan, 0.5, 0.7, math.nan, math.inf], 1):
        history.add(MetricsRow(epoch=step, step=step, valid_loss=loss, valid_map=math.nan))
    assert history.best(9) == [2, 3] and history.since_best() == 3
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert "valid_map" not in row
    nothing = History(tmp_path / "none", 0, by_loss)
    for step in (1, 2):
        nothing.add(MetricsRow(epoch=step, step=step, valid_loss=math.nan))
    assert nothing.best(1) == [2] and nothing.since_best() == 0


@pytest.mark.parametrize(("decay", "is_told"), [(0.9999, True), (0.9, False)])
def test_a_running_average_too_slow_for_the_run_is_told(second, tmp_path, capsys, decay, is_told):
    train(
        recipe("test_resnet", {}, [1.0], ema_decay=decay, epochs=6), second, tmp_path / "run", CPU
    )
    told = capsys.readouterr().err
    assert ("train.ema_decay 0.9999 is too slow for 18 steps: 100% of" in told) == is_told
    if is_told:
        limit = float(told.split("set it to ")[1].split(" ")[0])
        assert limit**18 == pytest.approx(0.05, rel=0.01)


def test_a_run_begins_with_the_hearing_of_its_crops(second):
    run = start(recipe("test_resnet", {}, [0.5, 1.0]), second, CPU)
    assert run.student.tagger.min_duration == 0.5
