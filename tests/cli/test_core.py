"""The commands where only the core is installed: no PyTorch, nothing else of the extras."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import audiotag
from audiotag.cli import COMMANDS
from audiotag.runtime.missing import PACKAGES
from tests.support.hidden_packages import hide_packages

SAMPLES = Path(audiotag.__file__).parent / "assets" / "samples"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function (*arguments) that runs a command, or after "-c" code, with the core alone."""
    folder = tmp_path_factory.mktemp("core")
    hide_packages(folder, PACKAGES)
    path = os.pathsep.join([str(folder), str(Path(audiotag.__file__).parents[1])])

    def command(*arguments):
        words = arguments if arguments[0] == "-c" else ("-m", "audiotag", *map(str, arguments))
        return subprocess.run(
            [sys.executable, *words],
            env=os.environ | {"PYTHONPATH": path},
            cwd=folder,
            capture_output=True,
            text=True,
        )

    return command


def test_the_packages_are_really_missing(run):
    assert "No module named 'torch'" in run("-c", "import torch").stderr


def test_every_command_has_help(run):
    code = (
        "from click.testing import CliRunner; from audiotag.cli import COMMANDS, cli\n"
        "for name in COMMANDS:\n"
        "    command = cli.get_command(None, name)\n"
        "    for words in [[], *([x] for x in getattr(command, 'commands', ()))]:\n"
        "        result = CliRunner().invoke(cli, [name, *words, '--help'])\n"
        "        assert result.exit_code == 0 and 'Usage:' in result.output, (name, words)\n"
        "        print(name)"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == COMMANDS.keys()


def test_files_are_tagged_as_ever(run):
    words = ("tag", SAMPLES / "cat.mp3", SAMPLES / "rooster.wav", "--format", "jsonl")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    whole = [sys.executable, "-m", "audiotag", *map(str, words)]
    assert done.stdout == subprocess.run(whole, capture_output=True, text=True).stdout
    assert json.loads(done.stdout.splitlines()[0])["tags"][0]["label"] == "Meow"


def test_files_are_embedded_as_npz(run, tmp_path):
    done = run("embed", SAMPLES / "cat.mp3", "--output", tmp_path / "e.npz")
    assert done.returncode == 0 and (tmp_path / "e.npz").exists(), done.stderr


@pytest.mark.parametrize(
    "words,package",
    [
        (("tag", "cat.mp3", "--engine", "torch"), "PyTorch"),
        (("embed", "cat.mp3", "--output", "e.parquet"), "pyarrow"),
        (("train", "recipe.toml", "--data", "data", "--out", "run"), "PyTorch"),
        (("finetune", "default", "--data", "data", "--out", "run"), "PyTorch"),
        (("convert", "weights.pt", "model"), "PyTorch"),
        (("export", "default", "model.onnx"), "PyTorch"),
        (("plot", "kernels", "default", "kernels.png"), "PyTorch"),
        (("bench", "models", "--runs", "1"), "PyTorch"),
    ],
)
def test_what_is_missing_is_said_with_the_line_that_installs_it(run, tmp_path, words, package):
    for name in ("recipe.toml", "weights.pt"):
        (tmp_path / name).touch()
    placed = [SAMPLES / x if x == "cat.mp3" else x for x in words]
    placed = [tmp_path / x if str(x).partition(".")[2] and x != "cat.mp3" else x for x in placed]
    done = run(*placed)
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (  # bench speaks of missing C extensions before
        f"Error: audiotag {words[0]} needs {package}: pip install 'audiotag-dcls[train]'"
    )


def test_load_tagger_gives_one_that_tags_and_says_what_it_lacks(run):
    code = f"""
import numpy as np
import audiotag
tagger = audiotag.load_tagger()
path = {str(SAMPLES / "cat.mp3")!r}
assert tagger.tag(path) == audiotag.tag(path), tagger.tag(path)
assert tagger.embed_windows(np.zeros((2, 96_000), np.float32)).shape[0] == 2
print(tagger.name, len(tagger.labels), tagger.sample_rate)
for name in ("backbone", "push_to_hub"):
    try:
        getattr(tagger, name)
    except AttributeError as error:
        print(error)
try:
    audiotag.Tagger
except ModuleNotFoundError as error:
    print(error)
"""
    result = run("-c", code)
    assert result.stdout.splitlines() == [
        "default 527 32000",
        "a tagger without PyTorch has no backbone; pip install 'audiotag-dcls[train]'",
        "a tagger without PyTorch has no push_to_hub; pip install 'audiotag-dcls[train]'",
        "audiotag.Tagger needs PyTorch: pip install 'audiotag-dcls[train]'",
    ], result.stderr


def test_load_tagger_of_a_model_without_an_onnx_file_says_what_it_needs(run, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    code = f"import audiotag; audiotag.load_tagger({str(tmp_path)!r})"
    expected = f"load_tagger({str(tmp_path)!r}) needs PyTorch: pip install 'audiotag-dcls[train]'"
    assert run("-c", code).stderr.splitlines()[-1].endswith(expected)
