"""Every command that writes, to places that cannot be written: one line that names the place."""

import json
import resource
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
import timm
import torch

from audiotag.benchmarks import speed
from audiotag.benchmarks.models import Setting
from audiotag.benchmarks.speed import Cost, Machine, ModelSpeed, SpeedTable
from audiotag.cli import COMMANDS, main
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.training.recipe.toml import dump_recipe, parse_recipe
from tests.support.every_command import ARCHITECTURE, ROW, WRITES
from tests.support.published_models import efficientat
from tests.support.tiny_models import TINY

RECIPE = {
    "model": {"architecture": ARCHITECTURE, "args": TINY},
    "data": {"crop_seconds": [1.5]},
    "optim": {"warmup_epochs": 0.5},
    "train": {"epochs": 1, "batch_size": 2, "task": "single", "metric": "valid_accuracy"},
}
WRITES_NOTHING = {"labels", "models", "find", "similar"}
HUB = {"push", "pull"}  # the Hub's client writes for them: see tests/hub
LIVE = {"listen"}  # goes on until it is stopped: see tests/live
LINES = [(command, words) for command, lines in WRITES.items() for words in lines]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of what commands read, by the words that stand for them."""
    folder = tmp_path_factory.mktemp("files")
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(8):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(32_000), 32_000)
        rows.append(f"{i}.wav,{'ab'[i % 2]},{'train' if i < 6 else 'valid'}")
    (folder / "t.csv").write_text("\n".join(rows))
    (folder / "recipe.toml").write_text(dump_recipe(parse_recipe(RECIPE)))
    torch.manual_seed(0)
    model = Model.create(ModelConfig(ARCHITECTURE, Labels("ab"), model_args=dict(TINY)))
    model.save(folder / "model")
    torch.save(efficientat(timm.create_model("mn01_as")), folder / "mn01_as.pt")
    (folder / "run").mkdir()
    (folder / "run" / "metrics.jsonl").write_text(json.dumps(ROW) + "\n")
    event = {"label": "a", "start": 0.1, "end": 0.9, "score": 0.5}
    record = {"path": str(folder / "0.wav"), "tags": [], "events": [event]}
    (folder / "events.jsonl").write_text(json.dumps(record) + "\n")
    return {
        "AUDIO": folder / "0.wav",
        "EVENTS": folder / "events.jsonl",
        "CHECKPOINT": folder / "mn01_as.pt",
        "DATA": prepare(CsvSource(folder / "t.csv"), folder / "data"),
        "MODEL": folder / "model",
        "RECIPE": folder / "recipe.toml",
        "RUN": folder / "run",
        "TABLE": folder / "t.csv",
    }


@pytest.fixture
def measured(monkeypatch):
    """What `bench` would measure."""
    cost = Cost(0.5, None, None, 1, None, (0.5,))
    rows = (ModelSpeed(ARCHITECTURE, "DCLS", 87, 100, 8.0, 45.9, cost),)
    table = SpeedTable(Machine("CPU", "2"), Setting(batch_size=1), 1, rows)
    monkeypatch.setattr(speed, "measure_models", lambda *_, **__: table)


@pytest.fixture
def error_of(files, measured, capsys, monkeypatch):
    """A function (command, words, place) that gives the error that is the command's last line."""

    def run(command, words, place):
        names = {**files, "PLACE": place}
        arguments = words
        for name, path in names.items():
            arguments = arguments.replace(name, str(path))
        monkeypatch.setattr(sys, "argv", ["audiotag", command, *arguments.split()])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        *others, error = capsys.readouterr().err.splitlines()
        assert ended.value.code == 1
        assert error.startswith("Error: ") and not [x for x in others if "rror" in x]
        return error.removeprefix("Error: ")

    return run


@contextmanager
def full_disk():
    """A limit on the size of files stands for a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_every_command_is_here():
    assert WRITES.keys() | WRITES_NOTHING | HUB | LIVE == COMMANDS.keys()


@pytest.mark.parametrize(("command", "words"), LINES)
@pytest.mark.parametrize("is_below_a_file", [True, False])
def test_a_place_that_cannot_be(error_of, tmp_path, command, words, is_below_a_file):
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "x" if is_below_a_file else "/proc/x"
    error = error_of(command, words, place)
    assert error.startswith(str(place)) and " cannot be written (" in error
    assert "make room or rights for it" in error


@pytest.mark.parametrize(("command", "words"), LINES)
def test_a_full_disk(error_of, tmp_path, command, words):
    place = tmp_path / "x"
    with full_disk():
        error = error_of(command, words, place)
    assert error.startswith(str(place)) and " cannot be written (File too large)" in error
    assert "make room or rights for it" in error
    assert not [path for path in tmp_path.rglob("*.partial")]


@pytest.mark.parametrize("option", ["--save", "--fit-thresholds"])
def test_a_model_folder_on_a_full_disk(error_of, files, option):
    before = {path: path.read_bytes() for path in files["MODEL"].iterdir()}
    with full_disk():
        error = error_of("evaluate", f"MODEL DATA {option}", "")
    assert error.startswith(str(files["MODEL"])) and " cannot be written (File too large)" in error
    assert {path: path.read_bytes() for path in files["MODEL"].iterdir()} == before
