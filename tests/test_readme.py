"""The README: its commands run as they stand, and CI runs its first two."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.hub_server import OWNER, WRITE_TOKEN, LoopbackHub
from tests.support.publishers import narrow_ced, to_safetensors
from tests.support.transformers_models import AUDIOSET, save_classifier

ROOT = Path(__file__).parents[1]
AST = "MIT/ast-finetuned-audioset-10-10-0.4593"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP, *BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the README's commands name: recording.wav, sounds/, recipes/."""
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    for i in range(24):
        label, pitch = ("low", 300) if i % 2 else ("high", 3000)
        (folder / "sounds" / label).mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * pitch * np.arange(32_000) / 32_000)
        noisy = 0.3 * tone + 0.02 * rng.standard_normal(32_000)
        soundfile.write(folder / "sounds" / label / f"sound {i}.wav", noisy, 32_000)
    shutil.copy(ROOT / "audiotag" / "assets" / "samples" / "crowd.wav", folder / "recording.wav")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A user's environment whose Hub is a loopback server, with a small ced-tiny and AST."""
    scripts = str(Path(sys.executable).parent)
    kind = "audio-spectrogram-transformer"
    ast = save_classifier(tmp_path_factory.mktemp("ast"), kind, names=AUDIOSET)
    with LoopbackHub() as hub:
        hub.add("mispeech/ced-tiny", {"model.safetensors": to_safetensors(narrow_ced())})
        hub.add(AST, {path.name: path.read_bytes() for path in ast.iterdir()})
        yield os.environ | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path_factory.mktemp("hf")),
            "HF_TOKEN": WRITE_TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }


@pytest.mark.slow
def test_commands_run_in_order_as_they_stand(place, environment):
    for command in "".join(BLOCKS).replace("OWNER/", f"{OWNER}/").splitlines():
        run = subprocess.run(
            command, shell=True, cwd=place, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
        assert run.stdout or "--output" in command, command
    assert (place / "tags.jsonl").read_text().count("\n") == 24


@pytest.mark.slow
def test_python_example_runs_as_it_stands(place, environment):
    (example,) = PYTHON
    run = subprocess.run(
        [sys.executable, "-c", example], cwd=place, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert re.match(r"\d\.\d\d  [A-Z]", run.stdout)


def test_setup_is_two_commands_that_ci_reads_from_here():
    assert [line.split(" && ")[-1].split()[0] for line in SETUP.splitlines()] == [
        ".venv/bin/audiotag",
        ".venv/bin/python",
    ]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in ci and "${#commands[@]}" in ci


def test_links_to_files_in_the_repository_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_changelog_has_the_version_or_is_unreleased():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings and headings[0] == "Unreleased"
