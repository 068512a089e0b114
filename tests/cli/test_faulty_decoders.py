"""Commands whose decoders hang, crash, fill the memory or have bugs: that file fails, no other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from audiotag.audio import helper as helper_module
from audiotag.audio import helpers as helpers_module
from audiotag.audio import streams
from audiotag.audio.helpers import Helpers
from audiotag.cli import cli
from tests.support import faulty_decoders
from tests.support.faulty_decoders import write_fault

REASONS = {
    "b_sleeps.wav": "cannot be decoded (its decoder made no progress for 3 s)",
    "c_spins.wav": "cannot be decoded (its decoder made no progress for 3 s)",
    "d_fills.wav": "cannot be decoded (it takes too much memory)",
    "f_crashes.wav": "cannot be decoded (its decoder crashed: SIGSEGV)",
    "g_raises.wav": "cannot be decoded (ZeroDivisionError: a bug of two lines)",
    "h_never_ends.wav": "cannot be decoded (its sound does not end)",
}
ROOT = Path(__file__).parents[2]
GOOD = ("a.wav", "e.wav", "z.wav")


@pytest.fixture
def folder(tmp_path, monkeypatch, make_wav):
    """Recordings with every fault, good ones before, between and after."""
    helpers = Helpers()
    monkeypatch.setattr(helpers_module, "HELPERS", helpers)
    monkeypatch.setattr(helper_module, "PATIENCE", 3.0)
    monkeypatch.setattr(helper_module, "COMPUTING", 3.0)
    monkeypatch.setattr(helper_module, "MEMORY", 2**27)
    monkeypatch.setattr(helper_module, "MOST_SAMPLES", 2**22)
    monkeypatch.setattr(streams, "decoded", faulty_decoders.decoded)
    place = tmp_path / "sounds" / "label"
    for number, name in enumerate(GOOD):
        make_wav(place / name, frequency=300.0 + 100 * number)
    for name in REASONS:
        write_fault(place / name, getattr(faulty_decoders, name[2:-4]))
    yield place.parent
    for helper in helpers.free:
        helper.stop()


def run(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.slow
def test_tag(folder):
    result = run("tag", folder, "--format", "jsonl")
    records = {record["path"]: record for record in map(json.loads, result.stdout.splitlines())}
    assert [path.rpartition("/")[2] for path in records] == sorted([*GOOD, *REASONS])
    for path, record in records.items():
        name = path.rpartition("/")[2]
        assert record.get("error") == REASONS.get(name)
        assert name in REASONS or record["duration"] == 1.0
    assert result.exit_code == 1


@pytest.mark.slow
def test_embed(folder, tmp_path):
    out = tmp_path / "e.npz"
    result = run("embed", folder, "--output", out)
    assert result.exit_code == 1
    arrays = np.load(out)
    assert [path.rpartition("/")[2] for path in arrays["paths"]] == list(GOOD)
    assert arrays["failed_errors"].tolist() == list(REASONS.values())


@pytest.mark.slow
def test_prepare(folder, tmp_path):
    out = tmp_path / "data"
    result = run("prepare", "folder", folder, out)
    assert result.exit_code == 0, result.output
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {f["source"].rpartition("/")[2]: f["reason"] for f in failures} == REASONS


def test_what_is_doubtful(folder):
    path = write_fault(folder / "doubtful.wav", faulty_decoders.doubts)
    result = run("tag", path, "--format", "jsonl")
    assert json.loads(result.stdout)["warning"] == "is loud; ends\nearly \udcff"
    assert f"{path}: warning: is loud; ends" in result.stderr
    assert result.exit_code == 0


def test_verbose_shows_bugs(tmp_path):
    path = write_fault(tmp_path / "bug.wav", faulty_decoders.raises)
    for words in (["tag", path], ["--verbose", "tag", path]):
        command = [sys.executable, "-c", PROGRAM, *map(str, words)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert result.returncode == 1
        assert "bug.wav: cannot be decoded (ZeroDivisionError: a bug of two lines)" in result.stderr
        assert ("in raises" in result.stderr) == ("--verbose" in words)


PROGRAM = """
from audiotag.audio import streams
from audiotag.cli import main
from tests.support import faulty_decoders
streams.decoded = faulty_decoders.decoded
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux does")
@pytest.mark.parametrize("command", ["tag", "embed", "prepare"])
def test_ctrl_c(tmp_path, make_wav, command):
    """It ends the command at once, and no helper is left."""
    sounds = tmp_path / "sounds"
    make_wav(sounds / "label" / "a.wav")
    write_fault(sounds / "label" / "b.wav", faulty_decoders.sleeps)
    words = {
        "tag": ["tag", sounds],
        "embed": ["embed", sounds, "--output", tmp_path / "e.npz"],
        "prepare": ["prepare", "folder", sounds, tmp_path / "data"],
    }[command]
    command_line = [sys.executable, "-c", PROGRAM, *map(str, words)]
    with subprocess.Popen(
        command_line, stderr=subprocess.PIPE, start_new_session=True, cwd=ROOT
    ) as process:
        for _ in range(6000):
            if (sounds / "label" / "b.begun").exists():
                break
            time.sleep(0.02)
        time.sleep(2)  # until the rest of the command waits for it too
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
    with pytest.raises(ProcessLookupError):
        for _ in range(500):
            os.killpg(process.pid, 0)
            time.sleep(0.02)
