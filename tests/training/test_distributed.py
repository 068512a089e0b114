"""Training on several processes gives what one gives, up to rounding."""

import copy
import csv
import json
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import nn

from audiotag.data.dataset import read_labels
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import RecipeError
from audiotag.training import loop, model
from audiotag.training.batches import prepared
from audiotag.training.losses import loss_of
from audiotag.training.optim.freezing import set_training
from audiotag.training.recipe.toml import dump_recipe, parse_recipe
from audiotag.training.setup import start
from tests.support.tiny_models import TINY_LEARNER
from tests.support.torchrun import launch, launch_script

VALUES = {
    "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY_LEARNER},
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


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.toml").write_text(dump_recipe(parse_recipe(VALUES)))
    return tmp_path / "recipe.toml"


@pytest.mark.slow
def test_two_processes_train_as_one_does(data, recipe, tmp_path):
    done = launch(2, recipe, data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one = loop.train(parse_recipe(VALUES), data, tmp_path / "one", torch.device("cpu"))
    weights, expected = (load_file(x / "model.safetensors") for x in (tmp_path / "two", one))
    start = model.build_tagger(parse_recipe(VALUES), read_labels(data))[0]
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
        run.student.tagger.eval()  # no path dropped
        clips = run.training.clips
        clips.crops = lambda chosen, seconds, generator, speeds, h=clips.heads: h(chosen, seconds)
        batch = list(islice(prepared(run, 0, 0), 8 // micro))
        assert sum(x.fraction for x in batch) == 1
        for part in batch:
            (loss_of(run, part) * part.fraction).backward()
        gradients.append([p.grad.clone() for p in run.student.tagger.backbone.parameters()])
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


REDUCED = """
import torch
from torch import nn
from audiotag.runtime.distributed import joined_processes
from audiotag.training.steps import sum_gradients

with joined_processes() as rank:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)
    ).double()
    model.register_buffer("own", torch.tensor(1.0 + rank))
    model.register_buffer("count", torch.tensor(10 + rank))
    inputs = torch.randn(2, 6, 3).double()[rank]
    for _ in range(rank + 1):
        model(inputs).pow(3).sum().backward()
    sum_gradients(model)
    state = model.state_dict() | {f"grad.{k}": p.grad for k, p in model.named_parameters()}
    torch.save(state, f"{rank}.pt")
"""


@pytest.mark.slow
def test_gradients_are_summed_and_of_buffers_batch_norm_statistics_alone_averaged(tmp_path):
    (tmp_path / "reduced.py").write_text(REDUCED)
    done = launch_script(2, "reduced.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    states = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    torch.manual_seed(0)
    # In double precision: the bias before a batch norm has gradients of nothing but rounding.
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)
    ).double()
    inputs, start = torch.randn(2, 6, 3).double(), copy.deepcopy(model.state_dict())
    statistics = []
    for rank in (0, 1):
        model.load_state_dict(start)
        for _ in range(rank + 1):
            model(inputs[rank]).pow(3).sum().backward()  # gradients add up
        statistics.append((model[1].running_mean.clone(), model[1].running_var.clone()))
    for rank, state in enumerate(states):
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(state[f"grad.{name}"], parameter.grad)
        for name, own, other in zip(("mean", "var"), *statistics, strict=True):
            torch.testing.assert_close(state[f"1.running_{name}"], (own + other) / 2)
        assert state["own"] == 1 + rank and state["count"] == 10 + rank
        assert state["1.num_batches_tracked"] == rank + 1


@pytest.mark.slow
def test_two_processes_leave_a_batch_norm_the_mean_of_their_statistics(data, tmp_path):
    """Weights stay, at a rate of almost 0: each process's statistics are those of its clips."""
    values = VALUES | {
        "model": {"architecture": "mn04_as", "args": {}},
        "augment": {},
        "data": {"crop_seconds": [2.0], "valid_fold": 2},
        "optim": {"lr": 1e-12, "min_lr": 0.0, "warmup_epochs": 0.0},
        "train": {"epochs": 1, "batch_size": 16, "micro_batch": 8},
    }
    (tmp_path / "recipe.toml").write_text(dump_recipe(parse_recipe(values)))
    done = launch(2, tmp_path / "recipe.toml", data, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "two" / "model.safetensors")
    run = start(parse_recipe(values), data, torch.device("cpu"))
    before = copy.deepcopy(run.student.tagger.backbone.state_dict())
    after = []
    for part in islice(prepared(run, 0, 0), 2):
        run.student.tagger.backbone.load_state_dict(before)
        set_training(run.student.tagger)
        torch.manual_seed(part.seed)
        loss_of(run, part)
        after.append(copy.deepcopy(run.student.tagger.backbone.state_dict()))
    names = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert len(names) > 20
    for name in names:
        mean = (after[0][name] + after[1][name]) / 2
        torch.testing.assert_close(found[name], mean, rtol=1e-4, atol=1e-5, msg=name)
        assert not torch.equal(found[name], after[0][name])


COUNTED = """
import os
from audiotag.evaluation import folds
from audiotag.training import sweep
from audiotag.cli import main

def counted(module, name):
    function = getattr(module, name)
    def call(*arguments, **options):
        with open(os.environ["RANK"] + ".count", "a") as file:
            print(name, file=file)
        return function(*arguments, **options)
    setattr(module, name, call)

counted(sweep, "interleave")
counted(folds, "score")
main()
"""

SWEEP = ("--sweep", "optim.lr=1e-3,3e-3", "--folds")


@pytest.mark.slow
def test_the_first_of_two_processes_alone_measures_a_sweep(data, recipe, tmp_path):
    """Of all that is scored, timed, drawn and printed, each is done once."""
    (tmp_path / "counted.py").write_text(COUNTED)
    out = tmp_path / "sweep"
    done = launch_script(
        2,
        tmp_path / "counted.py",
        *("train", recipe, "--data", data, "--out", out, "--device", "cpu", *SWEEP),
        *("--set", "train.epochs=1"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.count")) == ["0.count"]
    calls = (tmp_path / "0.count").read_text().split()
    assert calls.count("score") == 4 and calls.count("interleave") == 1
    assert done.stdout.count("see sweep.csv and sweep.png") == 1
    assert done.stderr.count("2 of 2: optim.lr=3e-3") == 1
    assert (out / "sweep.png").exists()
    with (out / "sweep.csv").open() as file:
        assert [row["clips"] for row in csv.DictReader(file)] == ["20", "20"]
