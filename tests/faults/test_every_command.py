"""Every command where it cannot write or print: one sentence, and what was there stays."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from audiotag.cli import COMMANDS
from tests.support.every_command import PRINTS, WRITES, Outcome, lines_of, make_files

ROOT = Path(__file__).parents[2]
# They print nothing, or as another one, or take minutes, or listen until they are stopped.
QUIET = {"embed", "pull", "finetune", "bench", "clips", "listen"}
OVERWRITTEN = ("data", "evaluate", "export", "plot")  # commands whose output may be there
MOUNTS = {
    "No space left on device": "mount -t tmpfs -o size=256k none place && {old} && "
    "(cat /dev/zero > place/fill || true)",
    "Read-only file system": "mount -t tmpfs -o size=256k none place && {old} && "
    "mount -o remount,ro place",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of what commands read."""
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


@pytest.fixture
def outcomes(files, tmp_path):
    """A function (fault, before, redirection) that gives how every command ended."""

    def run(fault: str, before: str = "true", redirection: str = "") -> list[Outcome]:
        driver = [sys.executable, "-m", "tests.support.every_command", files, fault, "results"]
        script = f"{before} && {shlex.join(map(str, driver))} {redirection}"
        environment = os.environ | {"PYTHONPATH": f"{ROOT}", "HF_HOME": f"{tmp_path / 'hf'}"}
        command = ["bash", "-c", script]
        if before != "true":
            (tmp_path / "place").mkdir()
            command = ["unshare", "--mount", *command]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        if b"ermitted" in ended.stderr or b"denied" in ended.stderr:
            pytest.skip("mounting is not allowed here")
        results = (tmp_path / "results").read_text().splitlines()
        return [Outcome(**json.loads(line)) for line in results]

    run.folder = tmp_path
    return run


def check_sentence(outcome: Outcome, start: str) -> None:
    """Check that a command ended with one sentence, and not with a traceback."""
    assert "Traceback" not in outcome.errors, f"{outcome.line}\n{outcome.errors}"
    assert outcome.code == 1, outcome
    assert outcome.errors.splitlines()[-1].startswith(f"Error: {start}"), outcome


def test_every_command_is_here():
    assert PRINTS.keys() - {""} | QUIET == COMMANDS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "redirection", "reason"),
    [("full", "> /dev/full", "No space left on device"), ("closed", "", "it is closed")],
)
def test_standard_output_that_takes_nothing(outcomes, fault, redirection, reason):
    ended = outcomes(fault, redirection=redirection)
    assert [outcome.line for outcome in ended] == lines_of(PRINTS)
    for outcome in ended:
        check_sentence(outcome, f"standard output cannot be written ({reason}); ")
        if "PLACE" in outcome.line:
            assert outcome.left, f"{outcome.line}: what it wrote is lost"


@pytest.mark.slow
@pytest.mark.parametrize("reason", MOUNTS)
def test_a_place_that_takes_nothing(outcomes, reason):
    lines = [line for line in lines_of(WRITES) if not line.startswith("bench")]
    there = {
        number: line.split("PLACE")[1].split()[0]
        for number, line in enumerate(lines)
        if line.startswith(OVERWRITTEN)
    }
    old = " && ".join(f"echo old > place/{n:02}{suffix}" for n, suffix in there.items())
    kept = " ".join(f"place/{n:02}{suffix}" for n, suffix in there.items())
    ended = outcomes("disk", MOUNTS[reason].format(old=old), f"; cat {kept} > kept")
    assert [outcome.line for outcome in ended] == lines
    for number, outcome in enumerate(ended):
        check_sentence(outcome, f"place/{number:02}")
        assert f"cannot be written ({reason}); make room or rights for it" in outcome.errors
        is_folder = "PLACE/" in outcome.line or outcome.line.startswith("prepare")
        empty = {f"{number:02}"} if is_folder else set()
        expected = {f"{number:02}{there[number]}"} if number in there else empty
        assert set(outcome.left) <= expected, outcome
    assert Path(outcomes.folder, "kept").read_text() == "old\n" * len(there)
