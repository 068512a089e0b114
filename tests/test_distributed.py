"""Training on several processes gives what one gives, up to rounding."""

import json
import os
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from audiotag import training
from audiotag.data.dataset import read_labels
from audiotag.data.prepare import prepare
from audiotag.data.sources.tables import CsvSource
from audiotag.errors import RecipeError
from audiotag.recipe import dump_recipe, parse_recipe
from audiotag.training.batches import prepared
from audiotag.training.losses import loss_of
from audiotag.training.run import start

TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32], "ls_init_value": 0.1}
VALUES = {
    "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY},
    "data": {"crop_seconds": [1.5, 2.0], "valid_fold": 2},
    "augment": {
        "roll": True,
        "speed_prob": 0.5,
        "mix_prob": 0.5,
        "erase_prob": 0.5,
        "time_masks": 1,
        "time_width": 20,
        "mixup_alpha": 0.8,
    },
    "optim": {"lr": 3e-3, "warmup_epochs": 1.0, "clip_grad": 1.0},
    "train": {"epochs": 2, "batch_size": 8, "micro_batch": 2, "ema_decay": 0.9},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 clips of noise in two folds."""
    folder = tmp_path_factory.mktemp("noise")
    rng, rows = np.random.default_rng(0), ["path,label,fold"]
    for i in range(20):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(64_000), 32_000)
        rows.append(f"{i}.wav,{'ab'[i % 2]},{2 if i < 4 else 1}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


def launch(processes, recipe, data, out, *options):
    """Train under torchrun."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    command = ("-m", "audiotag", "train", recipe, "--data", data, "--out", out, "--device", "cpu")
    return subprocess.run(
        [sys.executable, *launcher, *command, *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.toml").write_text(dump_recipe(parse_recipe(VALUES)))
    return tmp_path / "recipe.toml"


@pytest.mark.slow
def test_two_processes_train_as_one_does(data, recipe, tmp_path):
    done = launch(2, recipe, data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one = training.train(parse_recipe(VALUES), data, tmp_path / "one", torch.device("cpu"))
    weights, expected = (load_file(x / "model.safetensors") for x in (tmp_path / "two", one))
    start = training.build_tagger(parse_recipe(VALUES), read_labels(data))[0]
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=2e-3, atol=2e-5, msg=name)
    head = "head.fc.weight"
    assert (expected[head] - start.backbone.state_dict()[head]).abs().max() > 1e-3  # it has learnt
    rows = [
        [json.loads(line) for line in (x / "metrics.jsonl").read_text().splitlines()]
        for x in (tmp_path / "two", one)
    ]
    for mine, other in zip(*rows, strict=True):
        assert mine["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert mine["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-4)
        assert 0 <= mine["data_wait"] < 1


def test_micro_batches_that_cannot_be_shared_are_refused(data, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    with pytest.raises(RecipeError, match="4 micro batches .* by 3 processes"):
        start(parse_recipe(VALUES), data, torch.device("cpu"))


def test_accumulated_gradients_are_those_of_the_whole_batch(data):
    """Without what is drawn for each micro batch, and without what mixes their clips."""
    values = {name: VALUES[name] for name in ("model", "data", "optim")}
    values["data"] = {"crop_seconds": [1.5]}
    gradients = []
    for micro in (8, 2):
        values["train"] = {"epochs": 2, "batch_size": 8, "micro_batch": micro}
        run = start(parse_recipe(values), data, torch.device("cpu"))
        run.tagger.eval()  # no path dropped
        heads = run.clips.heads
        run.clips.crops = lambda clips, seconds, generator, speeds, h=heads: h(clips, seconds)
        batch = list(islice(prepared(run, 0, 0), 8 // micro))
        assert sum(x.share for x in batch) == 1
        for part in batch:
            (loss_of(run, part) * part.share).backward()
        gradients.append([p.grad.clone() for p in run.tagger.backbone.parameters()])
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)
