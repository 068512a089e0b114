"""Commands that need no torch give the same without it as with it."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.hidden_packages import hide_packages

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "audiotag/assets/embedded"
HIDDEN = ("torch", "torchaudio", "timm", "DCLS")  # modules


@pytest.fixture(scope="module")
def hiding(tmp_path_factory) -> Path:
    """A folder that, on PYTHONPATH, hides torch and what rests on it."""
    folder = tmp_path_factory.mktemp("hiding")
    hide_packages(folder, HIDDEN)
    return folder


def python(
    *arguments: object, cwd: Path = ROOT, hiding: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python, without the hidden packages where a folder is given that hides them."""
    paths = [ROOT] if hiding is None else [hiding, ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=300
    )


def written(folder: Path) -> dict[str, bytes]:
    """Content of all files in a folder, by their paths in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def both(hiding, tmp_path):
    """A function that runs a command with and without the packages, each in a folder of its own.

    It checks that they print and write the same, and gives what they print.
    """
    with_torch, without = tmp_path / "with", tmp_path / "without"
    with_torch.mkdir()
    without.mkdir()

    def run(*arguments: object) -> str:
        plain = python("-m", "audiotag", *arguments, cwd=with_torch)
        light = python("-m", "audiotag", *arguments, cwd=without, hiding=hiding)
        assert plain.returncode == 0, plain.stderr
        assert light.returncode == 0, light.stderr
        assert light.stdout == plain.stdout
        assert written(without) == written(with_torch)
        return plain.stdout

    return run


@pytest.mark.parametrize("name", HIDDEN)
def test_packages_are_hidden(hiding, name):
    imported = python("-c", f"import {name}", hiding=hiding)
    assert f"No module named '{name}'" in imported.stderr
    ask = f"import importlib.metadata as m; m.version({name.lower()!r})"
    asked = python("-c", ask, hiding=hiding)
    assert "PackageNotFoundError" in asked.stderr
    assert find_spec(name) is not None


def test_models(both, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    listed = both("models")
    assert "default" in listed and "convnext_dcls_audio_atto" in listed


@pytest.mark.slow
def test_prepare_and_data(both, make_wav, tmp_path):
    sounds = tmp_path / "sounds"
    for name, frequency in (("low/a.wav", 200), ("low/b.wav", 220), ("high/c.wav", 3000)):
        make_wav(sounds / name, frequency=frequency)
    (sounds / "table.csv").write_text("path,label\nlow/a.wav,low\nhigh/c.wav,high\n")
    assert "3 clips" in both("prepare", "folder", sounds, "folder")
    assert "2 clips" in both("prepare", "csv", sounds / "table.csv", "csv", "--verify")
    assert "3 clips" in both("data", "folder", "--all", "--plot", "labels.png")
    assert '"clips": 2' in both("data", "csv", "--json")
    assert {"folder/index.parquet", "labels.png"} <= written(tmp_path / "without").keys()


@pytest.fixture
def data(tmp_path, make_wav) -> Path:
    """A prepared data set of sines under labels of AudioSet, all to measure on."""
    rows = []
    for i, label in enumerate(("Music", "Sine wave", "Music;Sine wave", "Hum", "Sine wave", "Hum")):
        make_wav(tmp_path / f"{i}.wav", frequency=100 * 2**i)
        rows.append(f"{i}.wav,{label},valid\n")
    (tmp_path / "clips.csv").write_text("path,label,split\n" + "".join(rows))
    prepared = python("-m", "audiotag", "prepare", "csv", tmp_path / "clips.csv", tmp_path / "data")
    assert prepared.returncode == 0, prepared.stderr
    return tmp_path / "data"


@pytest.mark.slow
def test_evaluate_an_onnx_file(both, data):
    common = (data, "--resamples", 30, "--device", "cpu")
    measured = json.loads(both("evaluate", EMBEDDED / "model.onnx", *common, "--json"))
    assert measured["clips"] == 6 and 0 < measured["figures"]["mAP"]["value"] <= 1
    assert "6 clips" in both("evaluate", "default", *common, "--engine", "onnx", "--classes", 2)


def test_evaluate_writes_into_a_folder_that_has_an_onnx_file(both, data, tmp_path):
    for name in ("with", "without"):
        shutil.copytree(EMBEDDED, tmp_path / name / "model")
    store = ("--save", "--fit-thresholds", "--scores", "scores.npz")
    both("evaluate", "model", data, "--resamples", 0, "--engine", "onnx", *store)
    names = written(tmp_path / "without").keys()
    assert {"model/evaluation.json", "scores.npz"} <= names
    config = json.loads((tmp_path / "without/model/config.json").read_text())
    assert len(config["thresholds"]) == 527


def test_plot_a_run(both, tmp_path):
    row = {"lr": 0.1, "train_loss": 0.5, "valid_loss": 0.6, "valid_map": 0.3, "time": 1.0}
    lines = [{"epoch": i, "step": 10 * i, "clips_per_second": 9.5, **row} for i in (1, 2)]
    for name in ("with", "without"):
        (tmp_path / name / "run").mkdir()
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / name / "run/metrics.jsonl").write_text(text)
    assert both("plot", "run", "run", "run.png") == "run.png\n"
    assert written(tmp_path / "without")["run.png"].startswith(b"\x89PNG")


@pytest.mark.slow
def test_push_dry_run(both, tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path / "birds")
    shown = both("push", tmp_path / "birds", "me/birds", "--dry-run")
    count = sum(parameter.numel() for parameter in tiny_tagger.backbone.parameters())
    assert "model.safetensors" in shown and f"| Parameters | {count:,} |" in shown
    (tmp_path / "birds/README.md").write_text("# Birds\n")
    assert both("push", tmp_path / "birds", "me/birds", "--dry-run").endswith("\n# Birds\n")


def test_push_refuses_what_is_no_model(hiding, tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path / "birds")
    command = ("-m", "audiotag", "push", tmp_path / "birds", "me/birds", "--dry-run")
    (tmp_path / "birds/README.md").write_text("# Birds\n")
    (tmp_path / "birds/model.safetensors").write_bytes(b"damaged")
    light = python(*command, hiding=hiding)
    assert light.returncode == 1 and "model.safetensors cannot be read" in light.stderr
    (tmp_path / "birds/config.json").unlink()
    light = python(*command, hiding=hiding)
    assert light.returncode == 1 and "is not a model folder" in light.stderr


def test_a_model_that_is_none(hiding):
    command = ("-m", "audiotag", "tag", ROOT, "--model", "yamnet")
    plain, light = python(*command), python(*command, hiding=hiding)
    assert "yamnet is an architecture without weights" in light.stderr
    assert (light.returncode, light.stderr) == (plain.returncode, plain.stderr)


def test_tag_from_python_even_where_there_is_a_gpu(hiding, tmp_path):
    shutil.copytree(EMBEDDED, tmp_path / "model")
    code = """if True:
        import sys
        import audiotag
        from audiotag.runtime import devices
        devices._has_cuda = lambda: bool(sys.argv[3])
        print(audiotag.tag(sys.argv[1], sys.argv[2]))"""
    arguments = ("-c", code, ROOT / "audiotag/assets/samples/guitar.mp3", tmp_path / "model")
    plain = python(*arguments, "")
    light = python(*arguments, "a GPU", hiding=hiding)
    assert "Music" in plain.stdout, plain.stderr
    assert light.stdout == plain.stdout, light.stderr


def test_a_config_names_the_versions_that_there_are(hiding):
    code = """if True:
        import json
        from audiotag.label_set import Labels
        from audiotag.models.config import ModelConfig
        text = ModelConfig("yamnet", Labels(["cat"])).to_json()
        assert ModelConfig.from_json(text).labels.names == ("cat",)
        print(*json.loads(text)["versions"])"""
    assert python("-c", code).stdout == "torch timm dcls\n"
    light = python("-c", code, hiding=hiding)
    assert (light.returncode, light.stdout) == (0, "\n"), light.stderr
