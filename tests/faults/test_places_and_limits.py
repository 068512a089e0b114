"""A home folder that is empty, read-only or missing, a Python without assertions, few open files:
every recording is tagged, nothing is said about it, and nothing is left behind."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

FILES = 40
COMMAND = "tag sounds --output tags.jsonl --workers 4"
# What is put before the command, in a shell.
AROUND = {
    "empty home": "mkdir home &&",
    "no such home": "",
    "home that is a file": "touch home &&",
    "read-only home": "mkdir home && mount -t tmpfs -o ro none home &&",
    "few open files": "mkdir home && ulimit -n 64 &&",
    "no assertions": "mkdir home && export PYTHONOPTIMIZE=1 &&",
    "no locale": "mkdir home && export LC_ALL=C LANG= PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 &&",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sounds").mkdir()
    rng = np.random.default_rng(0)
    for i in range(FILES):
        sound = 0.1 * rng.standard_normal(8_000)
        soundfile.write(tmp_path / "sounds" / f"{i:02}.wav", sound, 16_000)
    return tmp_path


@pytest.mark.parametrize("what", AROUND)
def test_all_is_tagged_and_nothing_left_behind(what, folder):
    kept = {k: x for k, x in os.environ.items() if not k.startswith(("HF_", "XDG_", "ORT_"))}
    script = f"{AROUND[what]} {sys.executable} -m audiotag {COMMAND}"
    ended = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script]
        if "mount" in script
        else ["bash", "-c", script],
        cwd=folder,
        env=kept | {"HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    if "ermitted" in ended.stderr or "denied" in ended.stderr:
        pytest.skip("mounting is not allowed here")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[-1] == f"{FILES} files done: tags.jsonl"
    assert "onnxruntime" not in ended.stderr and "arning" not in ended.stderr, ended.stderr
    lines = [json.loads(line) for line in (folder / "tags.jsonl").read_text().splitlines()]
    assert len(lines) == FILES and all("tags" in line for line in lines)
    if (folder / "home").is_dir():
        assert not list((folder / "home").rglob("*"))
