"""Signals that end a command: its exit code, and what it says."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# A command that waits, started as `audiotag` is.
WAITS = """
import sys, time
import click
from audiotag import cli

@click.command()
def wait():
    print("waits", flush=True)
    time.sleep(60)

cli.LazyGroup.get_command = lambda self, ctx, name: wait
sys.argv = ["audiotag", sys.argv[1]]
cli.main()
"""


def waiting(command: str, before: str = "", program: str = WAITS) -> subprocess.Popen:
    """A command that waits to be ended."""
    pipe, start = subprocess.PIPE, f'{before} exec {sys.executable} -c "$0" {command}'
    process = subprocess.Popen(
        ["bash", "-c", start, program], cwd=ROOT, stdout=pipe, stderr=pipe, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "waits\n"
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train", "Stopped; the same command with --resume resumes from the last checkpoint\n"),
        ("push", "Stopped; the same command resumes\n"),
        ("evaluate", "Stopped; the same command starts anew\n"),
    ],
)
def test_every_command_says_what_can_be_done_next(number, code, command, message):
    process = waiting(command)
    process.send_signal(number)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (code, message)


def test_a_hangup_that_is_ignored_stays_ignored():
    process = waiting("train", before="trap '' HUP;")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143


def test_of_several_processes_one_speaks():
    launched = "RANK=1 LOCAL_RANK=1 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=1"
    process = waiting("train", before=f"export {launched};")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (143, "")


def test_an_import_is_ended_without_an_exception_which_pytorch_does_not_survive(tmp_path):
    caught = "try:\n    time.sleep(60)\nexcept BaseException:\n    print('raised', flush=True)\n"
    slow = f"import time\nprint('waits', flush=True)\n{caught}"
    (tmp_path / "slow_module.py").write_text(slow)
    importing = f"sys.path.insert(0, {str(tmp_path)!r}); import slow_module"
    program = WAITS.replace('print("waits", flush=True)\n', f"{importing}\n")
    process = waiting("train", program=program)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert process.returncode == 143 and errors.startswith("Stopped; ") and output == ""
