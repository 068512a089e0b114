"""Weights that a run keeps, what it ends with, and what it logs."""

import json
import sys

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import RecipeError
from audiotag.models.metrics_row import MetricsRow
from audiotag.models.model import Model
from audiotag.training import loop
from audiotag.training.recipe.toml import parse_recipe
from audiotag.training.run_folder.history import History

CPU = torch.device("cpu")
TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
FIGURES = {"train_loss", "valid_loss", "valid_map"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """12 clips of noise in two folds, a label each."""
    folder = tmp_path_factory.mktemp("noise")
    rng, rows = np.random.default_rng(0), ["path,label,fold"]
    for i in range(12):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(48_000), 32_000)
        rows.append(f"{i}.wav,{'ab'[i % 2]},{2 if i < 4 else 1}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


def recipe(**train):
    values = {"epochs": 5, "batch_size": 4, "metric": "valid_loss", "seed": 2}
    return parse_recipe(
        {
            "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY},
            "data": {"crop_seconds": [1.5], "valid_fold": 2},
            "optim": {"lr": 0.03, "min_lr": 0.03, "warmup_epochs": 0.0},
            "train": values | train,
        }
    )


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def every_epoch(data, tmp_path_factory):
    """Weights after each epoch of one run, and its rows."""
    run = loop.train(recipe(keep=5), data, tmp_path_factory.mktemp("all") / "run", CPU)
    files = sorted((run / "checkpoints").iterdir())
    return [load_file(file) for file in files], rows_of(run)


@pytest.mark.slow
@pytest.mark.parametrize("final", ["last", "best", "average_last", "average_best"])
def test_run_ends_with_the_weights_that_are_wanted(data, tmp_path, every_epoch, final):
    states, rows = every_epoch
    losses = [row["valid_loss"] for row in rows]
    best = np.argsort(losses)[:2]
    assert set(best) != {3, 4} and best[0] != 4  # else the last are the best
    wanted = {"last": [4], "best": best[:1], "average_last": [3, 4], "average_best": best}[final]
    run = loop.train(recipe(keep=2, final=final), data, tmp_path / "run", CPU)
    kept = {int(x.stem.removeprefix("step")) for x in (run / "checkpoints").iterdir()}
    assert kept == {rows[i]["step"] for i in {3, 4, *best}}
    found = load_file(run / "model.safetensors")
    for name, tensor in found.items():
        expected = np.mean([states[i][name].numpy() for i in wanted], axis=0)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-7)
    Model.load(run)


def test_run_ends_early_where_nothing_gets_better(data, tmp_path, every_epoch):
    losses = [row["valid_loss"] for row in every_epoch[1]]
    run = loop.train(recipe(patience=1, final="best"), data, tmp_path / "run", CPU)
    rows = rows_of(run)
    worse = [i for i in range(1, 5) if losses[i] >= min(losses[:i])]
    assert worse and len(rows) == worse[0] + 1 < 5, losses
    again = loop.train(recipe(patience=1, final="best"), data, run, CPU, resume=True)
    assert rows_of(again) == rows
    found = load_file(again / "model.safetensors")
    for name, tensor in every_epoch[0][int(np.argmin(losses[: len(rows)]))].items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7)


def test_tensorboard_reads_the_rows(data, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = loop.train(recipe(epochs=3), data, tmp_path / "run", CPU)
    log = reader.EventAccumulator(str(run)).Reload()
    rows = rows_of(run)
    assert set(log.Tags()["scalars"]) >= FIGURES
    for name in FIGURES:
        events = log.Scalars(name)
        assert [event.step for event in events] == [row["step"] for row in rows]
        np.testing.assert_allclose([x.value for x in events], [r[name] for r in rows], rtol=1e-6)
        np.testing.assert_allclose([x.wall_time for x in events], [r["time"] for r in rows])


def test_tensorboard_reads_what_a_resumed_run_has_cut_and_continued(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = [
        MetricsRow(epoch=i, step=4 * i, valid_loss=1 / i, valid_map=0.1 * i) for i in range(1, 7)
    ]
    killed = History(tmp_path, 0, recipe())
    for row in rows[:4]:
        killed.add(row)
    resumed = History(tmp_path, 8, recipe())  # the state that was saved last is of the second row
    for row in rows[4:]:
        resumed.add(row)
    expected = [rows[0], rows[1], rows[4], rows[5]]
    assert [row["step"] for row in rows_of(tmp_path)] == [row.step for row in expected]
    assert len(list(tmp_path.glob("*tfevents*"))) == 1
    log = reader.EventAccumulator(str(tmp_path)).Reload()
    for name in ("valid_loss", "valid_map"):
        assert [event.step for event in log.Scalars(name)] == [row.step for row in expected]
        values = [event.value for event in log.Scalars(name)]
        np.testing.assert_allclose(values, [row.figures[name] for row in expected], rtol=1e-6)


def test_missing_wandb_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if not installed
    with pytest.raises(RecipeError, match="pip install wandb"):
        loop.train(recipe(wandb_project="x"), data, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_wandb_gets_the_rows(data, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = loop.train(recipe(epochs=2, wandb_project="x"), data, tmp_path / "run", CPU)
    logged = b"".join(file.read_bytes() for file in run.glob("wandb/*/*.wandb"))
    assert logged.count(b"valid_map") >= 2
