"""Training killed at any moment and resumed ends in the bits of the run that was not."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.training.recipe.toml import dump_recipe, parse_recipe

VALUES = {
    "model": {
        "architecture": "convnext_dcls_audio_atto",
        "args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32], "drop_path_rate": 0.2},
    },
    "data": {"crop_seconds": [1.5, 1.7], "valid_fold": 2},
    "augment": {
        "roll": True,
        "speed_prob": 0.5,
        "mix_prob": 0.5,
        "mix_clips": 4,
        "reverb_prob": 0.5,
        "filter_prob": 0.5,
        "noise_prob": 0.5,
        "noise_slope": [0.0, 2.0],
        "mixup_alpha": 0.8,
    },
    "optim": {"lr": 3e-3, "warmup_epochs": 1.0, "clip_grad": 1.0},
    "train": {
        "epochs": 3,
        "batch_size": 4,
        "micro_batch": 2,
        "ema_decay": 0.9,
        "save_steps": 3,
        "keep": 2,
        "metric": "valid_loss",
        "final": "average_best",
    },
}
STEPS = 12  # of the run: 16 clips an epoch
TIMED = {"clips_per_second", "data_wait", "time"}

# Trains in children of its own that end themselves by SIGKILL: at the n-th change of the run
# folder, or when the optimiser has done its n-th step of the child; a child that may live follows.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from audiotag.training.recipe.toml import load_recipe
from audiotag.training.loop import train

recipe, data, root, *points = sys.argv[1:]
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir"}


def die_at(kind, number, out):
    count = 0

    def one_more():
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event, args):
        if event in CHANGES and str(args[0]).startswith(out):
            one_more()

    if kind == "step":
        register_optimizer_step_post_hook(lambda *_: one_more())
    else:
        sys.addaudithook(audit)


def run_child(out, *points):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    if points:
        die_at(*points, out)
    train(load_recipe(recipe), Path(data), Path(out), torch.device("cpu"), Path(out).exists())
    os._exit(0)


for point in points:
    out = os.path.join(os.path.realpath(root), point.replace(":", "-") or "whole")
    for kill in filter(None, point.split(",")):
        kind, number = kill.split(":")
        assert os.WTERMSIG(run_child(out, kind, int(number))) == signal.SIGKILL, kill
        if not (Path(out) / "recipe.toml").exists() and Path(out).exists():
            shutil.rmtree(out)  # nothing was begun
    assert run_child(out) == 0, point
"""

# The command, its first or second process killed when its optimiser has done so many steps.
KILLED_RANK = """
import os, signal
from torch.optim.optimizer import register_optimizer_step_post_hook
from audiotag.cli import main

count, (rank, number) = 0, os.environ["KILLED"].split(":")


def one_more(*_):
    global count
    count += 1
    if count == int(number):
        os.kill(os.getpid(), signal.SIGKILL)


if rank == os.environ["RANK"]:
    register_optimizer_step_post_hook(one_more)
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 clips of noise in two folds."""
    folder = tmp_path_factory.mktemp("noise")
    rng, rows = np.random.default_rng(0), ["path,label,fold"]
    for i in range(20):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(48_000), 32_000)
        rows.append(f"{i}.wav,{'ab'[i % 2]},{2 if i < 4 else 1}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    file.write_text(dump_recipe(parse_recipe(VALUES)))
    return file


def run_python(*words, **environment):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
    )


def rows_of(run):
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows]


def assert_same_run(run, expected):
    for name in ("model.safetensors", "state.safetensors"):
        ours, other = load_file(run / name), load_file(expected / name)
        assert ours.keys() == other.keys()
        assert all(torch.equal(ours[key], other[key]) for key in other), (run.name, name)
    assert rows_of(run) == rows_of(expected)
    assert not list(run.rglob(".*"))
    kept = [sorted(x.name for x in (y / "checkpoints").iterdir()) for y in (run, expected)]
    assert kept[0] == kept[1]


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_run_killed_anywhere_ends_in_the_same_bits(data, recipe, tmp_path, threads):
    """In the middle of steps, of checkpoints and of the end, and several times in one run."""
    points = [f"step:{n}" for n in (1, 3, 4, 7, STEPS)]
    points += [f"change:{n}" for n in (1, 2, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34)]
    points += ["step:5,step:2,change:9,step:3"]
    done = run_python("-c", KILLED, recipe, data, tmp_path, "", *points, OMP_NUM_THREADS=threads)
    assert done.returncode == 0, done.stderr[-3000:]
    whole = tmp_path / "whole"
    runs = [path for path in tmp_path.iterdir() if path != whole]
    assert len(runs) == len(points)
    for run in runs:
        assert_same_run(run, whole)
    assert [row["step"] for row in rows_of(whole)] == [4, 8, 12]


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["0:7", "1:8"])
def test_two_processes_of_which_one_is_killed_end_in_the_same_bits(data, recipe, tmp_path, killed):
    def launch(out, script, *options, **environment):
        (tmp_path / "main.py").write_text(script)
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        words = ("train", recipe, "--data", data, "--out", out, "--device", "cpu", *options)
        return run_python(*launcher, tmp_path / "main.py", *words, **environment)

    plain = "from audiotag.cli import main; main()"
    whole = launch(tmp_path / "whole", plain)
    assert whole.returncode == 0, whole.stderr[-3000:]
    broken = launch(tmp_path / "run", KILLED_RANK, KILLED=killed)
    assert broken.returncode != 0 and "Signal 9" in broken.stderr
    assert len(rows_of(tmp_path / "run")) == 1
    resumed = launch(tmp_path / "run", plain, "--resume")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert_same_run(tmp_path / "run", tmp_path / "whole")
