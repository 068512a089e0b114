"""Models from elsewhere whose config asks for more than a network: nothing is opened, nothing is
written, and one sentence says what is wrong, in every command that takes a model."""

import json
import pickle
import shutil
import socket
import sys
import threading

import numpy as np
import pytest
import soundfile
import timm
import tomli_w
import torch

import audiotag
from audiotag.cli import main
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.training.recipe.toml import dump_recipe, parse_recipe
from tests.support.published_models import efficientat
from tests.support.tiny_models import TINY

ARCHITECTURE = "convnext_dcls_audio_atto"
URL = "http://127.0.0.1:{port}/sitecustomize.py"
# The values of model_args; PORT and WATCHED stand for the listener and the folder.
BAITS = {
    "all": {
        "pretrained": True,
        "pretrained_cfg": {"url": URL, "architecture": "mn04_as"},
        "cache_dir": "WATCHED",
    },
    "pretrained": {"pretrained": True},
    "pretrained_cfg": {"pretrained_cfg": {"url": URL}},
    "pretrained_cfg file": {"pretrained": True, "pretrained_cfg": {"file": "WATCHED/bait.pth"}},
    "pretrained_cfg tag": {"pretrained": True, "pretrained_cfg": "in1k"},
    "overlay": {"pretrained": True, "pretrained_cfg_overlay": {"url": URL}},
    "hub": {"pretrained": True, "pretrained_cfg": {"hf_hub_id": "owner/name"}},
    "hf_hub_id": {"hf_hub_id": "owner/name"},
    "checkpoint_path": {"checkpoint_path": "WATCHED/bait.pth"},
    "cache_dir": {"cache_dir": "WATCHED"},
    "scriptable": {"scriptable": True},
    "exportable": {"exportable": True},
    "no_jit": {"no_jit": True},
    "features_only": {"features_only": True, "feature_cls": "fx"},
    "pruned": {"pruned": True},
    "device": {"device": "cuda"},
    "dtype": {"dtype": "float16"},
    "norm_layer path": {"norm_layer": "WATCHED/bait.pth"},
    "act_layer url": {"act_layer": URL},
    "act_layer of none": {"act_layer": "no_such_layer"},
    "block": {"block": {"class": "os.system"}},
    "dcls": {"dcls": {"kernel_size": 7, "cache_dir": "WATCHED"}},
    "unknown": {"loader": True},
}
ARCHITECTURES = {
    "hub name": "hf-hub:owner/name",
    "old hub name": "hf_hub:owner/name",
    "folder": "local-dir:WATCHED",
    "path": "WATCHED/bait.pth",
    "no name": 7,
}
# What each command is given. Words in capitals stand for files.
COMMANDS = {
    "tag": "tag AUDIO --model MODEL --engine torch",
    "embed": "embed AUDIO --model MODEL --engine torch --output OUT.npz",
    "evaluate": "evaluate MODEL DATA",
    "compare": "evaluate GOOD DATA --compare MODEL",
    "export": "export MODEL OUT.onnx",
    "plot": "plot kernels MODEL OUT.png",
    "bench": "bench models MODEL --runs 1",
    "finetune": "finetune MODEL --data DATA --out OUT --epochs 1",
    "init": "train BARE --data DATA --out OUT --set model.init=MODEL",
    "teacher": "train RECIPE --data DATA --out OUT --set distill.teacher=MODEL",
    "other teacher": "train RECIPE --data DATA --out OUT --set distill.teacher=GOOD "
    '--set distill.other_teachers=["MODEL"]',
}
FUNCTIONS = (audiotag.Tagger.from_pretrained, audiotag.load_tagger, Model.load)


class Marker:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class Listener:
    """Counts who connects to a port of the loopback."""

    def __init__(self):
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            caller, _ = self._socket.accept()
            self.calls += 1
            caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n# hi")
            caller.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of what commands read, by the words that stand for them."""
    folder = tmp_path_factory.mktemp("files")
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(8):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(32_000), 32_000)
        rows.append(f"{i}.wav,{'ab'[i % 2]},{'train' if i < 6 else 'valid'}")
    (folder / "t.csv").write_text("\n".join(rows))
    values = {
        "model": {"architecture": ARCHITECTURE, "args": TINY},
        "data": {"crop_seconds": [1.5]},
        "optim": {"warmup_epochs": 0.0},
        "train": {"epochs": 1, "batch_size": 2},
    }
    (folder / "recipe.toml").write_text(dump_recipe(parse_recipe(values)))
    del values["model"]
    (folder / "bare.toml").write_text(tomli_w.dumps(values))
    torch.save(efficientat(timm.create_model("mn01_as")), folder / "mn01_as.pt")
    Model.create(ModelConfig(ARCHITECTURE, Labels("ab"), dict(TINY))).save(folder / "good")
    return {
        "AUDIO": folder / "0.wav",
        "BARE": folder / "bare.toml",
        "CHECKPOINT": folder / "mn01_as.pt",
        "DATA": prepare(CsvSource(folder / "t.csv"), folder / "data"),
        "GOOD": folder / "good",
        "RECIPE": folder / "recipe.toml",
    }


@pytest.fixture(scope="module")
def listener():
    return Listener()


@pytest.fixture
def watched(tmp_path, listener, monkeypatch):
    """A folder that must stay as it is: a pickle, and what it would make."""
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "bait.pth").write_bytes(pickle.dumps(Marker(folder / "made")))
    shutil.copy(folder / "bait.pth", folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"architecture": "mn04_as"}))
    address = f"http://127.0.0.1:{listener.port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    before, calls = sorted(folder.iterdir()), listener.calls
    yield folder
    assert sorted(folder.iterdir()) == before
    assert listener.calls == calls


def filled(value, listener, watched):
    text = json.dumps(value).replace("{port}", str(listener.port))
    return json.loads(text.replace("WATCHED", str(watched)))


@pytest.fixture
def hostile(files, watched, listener, tmp_path):
    """A function that gives a model folder whose config has other values."""

    def make(**values):
        folder = tmp_path / "hostile"
        shutil.copytree(files["GOOD"], folder, dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text())
        for key, value in filled(values, listener, watched).items():
            config[key] = config[key] | value if isinstance(value, dict) else value
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture
def error_of(files, tmp_path, capsys, monkeypatch):
    """A function (command line, model) that gives the error that is the command's last line."""

    def run(line, model=None):
        arguments = line.split()
        for name, path in {**files, "MODEL": model, "OUT": tmp_path / "out"}.items():
            arguments = [word.replace(name, str(path)) for word in arguments]
        monkeypatch.setattr(sys, "argv", ["audiotag", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1, capsys.readouterr()
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("Error: "), last
        return last

    return run


def test_the_bait_is_taken_where_nothing_checks_it(tmp_path):
    own = Listener()
    arguments = filled(BAITS["all"], own, tmp_path)
    with pytest.raises(Exception):  # noqa: B017  what was loaded is no weights
        timm.create_model("mn04_as", in_chans=1, **arguments)
    assert own.calls and list(tmp_path.rglob("sitecustomize.py"))


@pytest.mark.parametrize("bait", BAITS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_the_bait(command, bait, hostile, error_of):
    model = hostile(model_args=BAITS[bait])
    assert "model_args" in (error := error_of(COMMANDS[command], model)) or "argument" in error


@pytest.mark.parametrize("bait", BAITS)
def test_no_function_takes_the_bait(bait, hostile):
    model = hostile(model_args=BAITS[bait])
    for function in FUNCTIONS:
        with pytest.raises(ModelError, match="argument|model_args"):
            function(model)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_architecture_is_a_name_of_timms_registry(command, name, hostile, error_of):
    model = hostile(architecture=ARCHITECTURES[name])
    assert "architecture is" in error_of(COMMANDS[command], model)


@pytest.mark.parametrize("bait", BAITS)
def test_no_recipe_takes_the_bait(bait, files, watched, listener, error_of, tmp_path):
    args = {**TINY, **filled(BAITS[bait], listener, watched)}
    recipe = parse_recipe({"model": {"architecture": ARCHITECTURE, "args": args}})
    (tmp_path / "bait.toml").write_text(dump_recipe(recipe))
    error = error_of("train MODEL --data DATA --out OUT", tmp_path / "bait.toml")
    assert "argument" in error or "model_args" in error


@pytest.mark.parametrize("key", ["pretrained=true", "checkpoint_path=WATCHED/bait.pth"])
def test_no_change_of_a_recipe_takes_the_bait(key, watched, error_of):
    key = key.replace("WATCHED", str(watched))
    line = f"train RECIPE --data DATA --out OUT --set model.args.{key}"
    assert "loads, places or wraps" in error_of(line)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_checkpoint_is_converted_to_what_is_no_name(name, watched, listener, error_of):
    architecture = filled(str(ARCHITECTURES[name]), listener, watched)
    line = f"convert CHECKPOINT OUT --arch {architecture}"
    assert "architecture" in error_of(line)


# Whether a network takes an argument is known where it is built, which a push does not.
@pytest.mark.parametrize("bait", [x for x in BAITS if x not in ("act_layer of none", "unknown")])
def test_no_model_that_holds_bait_is_pushed(bait, hostile, error_of):
    assert "model_args" in error_of("push MODEL owner/name", hostile(model_args=BAITS[bait]))
