"""Fine-tuning: what is chosen for small and large sets, and the command from start to resume."""

import json

import click.testing
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from audiotag.cli import cli
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import DataError, RecipeError
from audiotag.models.folder import RECIPE_FILE
from audiotag.models.model import Model
from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.open import open_engine
from audiotag.training.recipe.finetune import finetune_recipe, resumed_recipe, training_durations
from audiotag.training.recipe.toml import dump_recipe

NAMES = ("Bell, rung", "höher", "low")
FAST = ("--method", "full", "--epochs", "2", "--set", "train.batch_size=4", "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """12 tones of 1.5 to 2.5 s in two folds, one label each, names as people write them."""
    folder = tmp_path_factory.mktemp("tones")
    rng, rows = np.random.default_rng(0), ["path,label,split,fold"]
    for i in range(12):
        time = np.arange(48_000 + 32_000 * (i % 2)) / 32_000
        wave = np.sin(2 * np.pi * 400 * (1 + i % 3) * time) + 0.1 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{i}.wav", 0.3 * wave, 32_000)
        split = "valid" if i >= 9 else "train"
        rows.append(f'{i}.wav,"{NAMES[i % 3]}",{split},{1 + i % 2}')
    (folder / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


@pytest.fixture
def start(tmp_path, tiny_tagger):
    tiny_tagger.save(tmp_path / "start")
    return tmp_path / "start"


def run_command(*words):
    return click.testing.CliRunner().invoke(cli, ["finetune", *map(str, words)])


@pytest.mark.parametrize("count", [5, 50, 500, 5000, 50_000, 500_000])
def test_any_number_of_clips_gets_a_run_of_sensible_length(count):
    recipe = finetune_recipe("default", [5.0] * count)
    train, optim = recipe.train, recipe.optim
    steps = train.epochs * max(1, count // train.batch_size)
    assert 100 <= steps <= 50_000
    assert 5 <= train.epochs <= 100
    assert 0 < optim.warmup_epochs <= train.epochs / 5
    assert 5 <= train.epochs // train.save_every <= 20


def test_fewer_clips_are_seen_more_often():
    epochs = [finetune_recipe("default", [5.0] * n).train.epochs for n in (50, 500, 5000, 50_000)]
    assert epochs == sorted(epochs, reverse=True) and len(set(epochs)) == 4


@pytest.mark.parametrize(
    ("durations", "seconds"),
    [
        ([0.4], 2.0),
        ([1.0, 4.2], 3.0),
        ([3.0] * 9, 3.0),
        ([30.0], 10.0),
        ([0.6] * 9 + [9.0], 2.0),
    ],
)
def test_crops_are_as_long_as_the_median_clip_within_limits(durations, seconds):
    assert finetune_recipe("default", durations).data.crop_seconds == (seconds,)


def test_crops_are_no_shorter_than_the_model_hears():
    assert finetune_recipe("default", [0.4], shortest=3.0).data.crop_seconds == (3.0,)
    assert finetune_recipe("default", [4.2], shortest=3.0).data.crop_seconds == (5.0,)


def test_what_is_given_is_kept_and_mistakes_are_named():
    given = ["train.epochs=3", "data.crop_seconds=[1.5]", "train.batch_size=7", "optim.lr=2e-4"]
    recipe = finetune_recipe("owner/name", [5.0], given)
    assert recipe.model.init == "owner/name"
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.optim.lr) == (3, 7, 2e-4)
    assert recipe.data.crop_seconds == (1.5,)
    for wrong, message in (
        ("train.epochs=many", "train.epochs must be of type int, got 'many'"),
        ("optim.lrr=1", "unknown key 'optim.lrr'; did you mean 'lr'"),
        ("model.architecture=resnet18", "leave out model.architecture"),
    ):
        with pytest.raises(RecipeError, match=message):
            finetune_recipe("default", [5.0], [wrong])


def test_durations_are_those_of_the_clips_trained_on(data):
    rows = pq.read_table(data / "index.parquet").to_pylist()

    def expected(chosen):
        return pytest.approx([row["duration"] for row in rows if chosen(row)])

    assert training_durations(data) == expected(lambda row: row["split"] == "train")
    valid = training_durations(data, ["data.train_split=valid", "optim.lr=1"])
    assert valid == expected(lambda row: row["split"] == "valid")
    fold = training_durations(data, ["data.valid_fold=2"])
    assert fold == expected(lambda row: row["fold"] != 2)
    with pytest.raises(DataError, match="no split 'test'"):
        training_durations(data, ["data.train_split=test"])


def test_what_is_given_again_on_resume_is_put_into_the_runs_recipe(tmp_path):
    recipe = finetune_recipe("default", [5.0], ["train.epochs=3"])
    (tmp_path / RECIPE_FILE).write_text(dump_recipe(recipe))
    assert resumed_recipe(tmp_path, "default") == recipe
    assert resumed_recipe(tmp_path, "default", ["train.epochs=3", "optim.lr=1e-3"]) == recipe
    assert resumed_recipe(tmp_path, "2026", ["train.epochs=4"]).model.init == "2026"
    odd = 'models/höhe 𝄞 "\x7f'
    (tmp_path / RECIPE_FILE).write_text(dump_recipe(finetune_recipe(odd, [5.0])), encoding="utf-8")
    assert resumed_recipe(tmp_path, odd) == finetune_recipe(odd, [5.0])
    with pytest.raises(RecipeError, match="recipe.toml cannot be read"):
        resumed_recipe(tmp_path / "none", "default")


@pytest.mark.slow
def test_command_keeps_label_names_and_resumes(data, start, tmp_path):
    run = tmp_path / "run"
    begun = run_command(start, "--data", data, "--out", run, *FAST)
    assert begun.exit_code == 0, begun.output
    assert Model.load(run).labels.names == NAMES
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 64_000)).astype(np.float32)
    onnx = open_engine(run, "cpu")
    assert isinstance(onnx, OnnxModel)  # written by the run: it tags without PyTorch
    np.testing.assert_allclose(
        onnx.score_windows(wave), Model.load(run).score_windows(wave), rtol=0, atol=1e-4
    )
    whole = load_file(run / "model.safetensors")
    resumed = run_command(start, "--data", data, "--out", run, *FAST, "--resume")
    assert resumed.exit_code == 0, resumed.output
    longer = run_command(start, "--data", data, "--out", run, *FAST, "--resume", "--lr", "9")
    assert longer.exit_code
    assert "not with optim.lr = 9.0 (it began with 0.001); leave that out" in str(longer.exception)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    again = load_file(run / "model.safetensors")
    assert all(torch.equal(again[key], tensor) for key, tensor in whole.items())


@pytest.mark.slow
def test_command_with_a_frozen_backbone_changes_the_classifier_alone(data, start, tmp_path):
    run = tmp_path / "run"
    result = run_command(start, "--data", data, "--out", run, *FAST, "--freeze", "backbone")
    assert result.exit_code == 0, result.output
    ours, before = load_file(run / "model.safetensors"), load_file(start / "model.safetensors")
    changed = {key for key, tensor in ours.items() if not torch.equal(tensor, before[key])}
    assert changed == {"head.fc.weight", "head.fc.bias"}


def test_command_passes_its_shortcuts_on(data, start, tmp_path):
    run = tmp_path / "run"
    words = ("--data", data, "--out", run, *FAST, "--lr", "1e-4")
    result = run_command(start, *words, "--freeze", "2")
    assert result.exit_code == 0, result.output
    recipe = resumed_recipe(run, str(start))
    assert recipe.train.epochs == 2 and (recipe.optim.lr, recipe.model.freeze) == (1e-4, 2)
