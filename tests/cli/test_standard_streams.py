"""Standard streams that are closed or full, and users whom the system does not know."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "audiotag" / "assets" / "samples" / "cat.mp3"
TAG = f"tag {SAMPLE} --device cpu --format jsonl"


@pytest.fixture
def run(tmp_path):
    """A function (arguments, redirection, before) that runs the command in a shell."""

    def run(arguments: str, redirection: str = "", before: str = "", **environment: str):
        command = f"{before} {sys.executable} -m audiotag {arguments} {redirection}"
        known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=known, capture_output=True, text=True
        )

    return run


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed")],
)
@pytest.mark.parametrize("arguments", ["--version", "models", TAG])
def test_results_that_cannot_be_printed_are_said_to_be_lost(run, arguments, redirection, reason):
    ended = run(arguments, redirection)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: standard output cannot be written ({reason}); ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "<&- >/dev/full 2>/dev/full"])
def test_files_are_written_whatever_becomes_of_the_streams(run, tmp_path, redirection):
    ended = run(f"{TAG} --output x.jsonl", redirection)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    record = json.loads((tmp_path / "x.jsonl").read_text())
    assert record["path"] == str(SAMPLE) and record["tags"]
    assert run(TAG, redirection).returncode == 1  # nothing would be left of it


def test_a_full_log_ends_nothing(run):
    ended = run(f"tag {SAMPLE} missing.wav --format jsonl", "2>/dev/full")
    assert ended.returncode == 1
    assert [json.loads(line).get("error") for line in ended.stdout.splitlines()][0] is None


def test_closed_standard_input_names_no_files(run):
    ended = run("tag -", "<&-")
    assert ended.returncode == 2 and "standard input names no audio files" in ended.stderr


def test_a_reader_that_has_had_enough_is_no_error(run):
    ended = run("models", "| true; echo ${PIPESTATUS[0]} >&2")
    assert ended.stderr in ("0\n", "1\n")


def test_characters_that_the_encoding_lacks_are_escaped(run, tmp_path):
    (tmp_path / "音.wav").write_bytes(b"no sound")
    ended = run("tag 音.wav", LC_ALL="C.utf8", PYTHONIOENCODING="iso-8859-1")
    assert ended.returncode == 1 and ended.stderr.startswith(r"\u97f3.wav: ")


def test_a_locale_in_ascii_ends_nothing(run, tmp_path):
    (tmp_path / "音.wav").write_bytes(b"no sound")
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = run(f"tag 音.wav {SAMPLE} --format jsonl", **ascii)
    paths = [os.fsencode(json.loads(line)["path"]) for line in ended.stdout.splitlines()]
    assert paths == ["音.wav".encode(), os.fsencode(SAMPLE)]
    assert ended.returncode == 1 and "Traceback" not in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be taken by root alone")
def test_a_user_without_name_and_home(run, tmp_path):
    code = "import getpass, os; from audiotag.cli.process import name_user; name_user(); "
    code += "print(getpass.getuser(), os.path.expanduser('~'))"
    drop = "import os; os.setgid(4242); os.setuid(4242); os.environ.pop('HOME', None); "
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    whole = f"import getpass, pwd; from audiotag.cli import main; {drop}{code}"
    ended = subprocess.run([sys.executable, "-c", whole], env=known, capture_output=True, text=True)
    assert ended.stdout == "user4242 /\n", ended.stderr
