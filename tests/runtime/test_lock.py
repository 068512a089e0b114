"""Locks: one holder at a time, whatever becomes of it."""

import os
import subprocess
import sys

import pytest

from audiotag.errors import OutputError
from audiotag.runtime.lock import lock_of, locked

# Takes the lock at a path, says so, and waits.
HOLDER = """
import sys
from pathlib import Path
from audiotag.runtime.lock import locked
with locked(Path(sys.argv[1]), "taken"):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of the path `tmp_path / "x.lock"`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "x.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    with process:
        yield process
        process.kill()


def test_a_second_process_is_told_so_until_the_first_has_ended(holder, tmp_path):
    with pytest.raises(OutputError, match="^in use$"), locked(tmp_path / "x.lock", "in use"):
        pass
    assert os.listdir(tmp_path) == ["x.lock"]
    holder.communicate("\n")
    with locked(tmp_path / "x.lock", "in use"):
        assert os.listdir(tmp_path) == ["x.lock"]
    assert os.listdir(tmp_path) == []


def test_a_killed_holder_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert os.listdir(tmp_path) == ["x.lock"]
    with locked(tmp_path / "x.lock", "in use"):
        pass
    assert os.listdir(tmp_path) == []


def test_an_error_within_gives_the_lock_back(tmp_path):
    path = tmp_path / "new" / "x.lock"
    with pytest.raises(KeyboardInterrupt), locked(path, "in use"):
        raise KeyboardInterrupt
    with locked(path, "in use"), pytest.raises(OutputError, match="in use"):
        with locked(path, "in use"):
            pass


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "x.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"x\.lock"), locked(tmp_path / "x.lock", "in use"):
        pass
    assert not (tmp_path / "precious").exists()


def test_a_lock_lies_in_a_folder_or_hidden_beside_a_file(tmp_path):
    assert lock_of(tmp_path) == tmp_path / ".audiotag.lock"
    assert lock_of(tmp_path / "a.csv") == tmp_path / ".a.csv.lock"
    longest = lock_of(tmp_path / ("é" * 127 + "x"))
    longest.touch()
    assert len(os.fsencode(longest.name)) == 255
