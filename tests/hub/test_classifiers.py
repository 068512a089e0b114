"""Classifiers of transformers by their Hub id, from a server that plays the Hub."""

import json
from pathlib import Path

import pytest

from tests.support.hub_client import CLOSED_PORT, downloads, run_alone, run_python
from tests.support.transformers_models import AUDIOSET, save_classifier

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
WITHOUT = """
import importlib.util as u, sys
find = u.find_spec
u.find_spec = lambda name, *a: None if name == "transformers" else find(name, *a)
sys.argv = ["audiotag", "pull", sys.argv[1]]
from audiotag.cli import main
main()
"""


@pytest.fixture
def files(tmp_path) -> dict[str, bytes]:
    """A tiny AST of AudioSet's classes, beside what must never be read."""
    kind = "audio-spectrogram-transformer"
    folder = save_classifier(tmp_path / "ast", kind, names=AUDIOSET)
    found = {name: (folder / name).read_bytes() for name in FILES}
    others = {"pytorch_model.bin": b"pickle", "modeling.py": b"1 / 0", "model.onnx": b"not ours"}
    return found | others


@pytest.fixture
def classifier(hub, name, files) -> str:
    """Name of a repository that holds it."""
    hub.add(name, files)
    return name


def test_a_hub_id_tags_as_the_folder_does_and_offline_then(
    hub, run, environment, classifier, make_wav, tmp_path
):
    wav, options = make_wav(tmp_path / "a.wav", 2.0), ("--format", "jsonl", "--device", "cpu")
    before = len(hub.requests)
    ended = run("tag", wav, "--model", classifier, *options)
    assert ended.code == 0, ended.err
    assert len(downloads(hub.requests[before:])) == 1
    assert not any(".bin" in x or ".py" in x for x in hub.requests[before:])
    assert ended.out == run("tag", wav, "--model", tmp_path / "ast", *options).out
    offline = environment | {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": CLOSED_PORT}
    again = run_alone(offline, "tag", str(wav), "--model", classifier, *options)
    assert (again.code, again.out) == (0, ended.out), again.err


def test_it_is_pulled_listed_and_removed(run, classifier, tmp_path):
    pulled = Path(run("pull", classifier, "--verify").out.strip())
    assert sorted(x.name for x in pulled.iterdir()) == sorted(FILES)
    ended = run("pull", classifier, "--local-dir", tmp_path / "here")
    assert ended.out.strip() == str(tmp_path / "here")
    assert {x.name for x in (tmp_path / "here").iterdir()} >= set(FILES)
    listed = f"{classifier}  transformers audio-spectrogram-transformer, 527 classes"
    assert listed in run("models").out
    assert run("models", "--remove", classifier).code == 0
    assert classifier not in run("models").out


def test_what_cannot_be_used_is_said_before_its_weights_are_downloaded(
    hub, run, environment, name, files
):
    before = len(hub.requests)
    hub.add(name, {k: v for k, v in files.items() if k != "preprocessor_config.json"})
    assert "without preprocessor_config.json" in run("pull", name).error
    hub.add(name, {k: v for k, v in files.items() if k != "model.safetensors"})
    assert "a pickle, which is never loaded unasked" in run("pull", name).error
    hub.add(name, files)
    error = run_python(environment, WITHOUT, name).err
    assert "needs that library: pip install 'audiotag-dcls[transformers]'" in error
    values = json.loads(files["config.json"]) | {"model_type": "evil"}
    hub.add(name, files | {"config.json": json.dumps(values).encode()})
    assert "has an unknown layout" in run("pull", name).error
    assert not downloads(hub.requests[before:])
