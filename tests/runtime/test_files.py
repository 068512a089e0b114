"""Files that appear whole or not at all: kills, full disks, several writers, what is in the way."""

import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from audiotag.errors import OutputError
from audiotag.runtime import files
from audiotag.runtime.files import (
    PARTIAL,
    REMEDY,
    appended,
    explained,
    make_folder,
    replaced,
    sweep,
)

CHUNK = bytes(range(256)) * 256  # 64 KiB
# Writes a chunk to the file at a path, says so, and waits.
WRITER = """
import sys
from pathlib import Path
from audiotag.runtime.files import replaced
with replaced(Path(sys.argv[1])) as file:
    file.write(b"half")
    print("written", flush=True)
    sys.stdin.readline()
    file.write(b" whole")
"""


def started(path):
    """A process that is in the middle of writing a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "written\n"
    return process


def write(path, data=b"new", **options):
    with replaced(path, **options) as file:
        file.write(data)


@contextmanager
def size_limit(size):
    """A limit on the size of files stands for a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "made" / "a.bin"
    with replaced(path) as file:
        assert file.write(CHUNK) == len(CHUNK)
        assert not path.exists()
        assert list(path.parent.glob(PARTIAL)) == [path.parent / ".a.bin.partial"]
        file.write(memoryview(CHUNK))
    assert path.read_bytes() == 2 * CHUNK
    assert os.listdir(path.parent) == ["a.bin"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    write(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_exception_leaves_what_there_was(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), replaced(path) as file:
        file.write(CHUNK)
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link(tmp_path, exists):
    target, link = tmp_path / "there" / "target", tmp_path / "here" / "link"
    target.parent.mkdir()
    link.parent.mkdir()
    link.symlink_to("../there/target")
    if exists:
        target.write_bytes(b"old")
    write(link)
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["target"] and os.listdir(link.parent) == ["link"]


def test_what_a_kill_leaves_is_taken_over(tmp_path):
    path = tmp_path / "a.bin"
    process = started(path)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert os.listdir(tmp_path) == [".a.bin.partial"]
    write(path, b"x")
    assert path.read_bytes() == b"x" and os.listdir(tmp_path) == ["a.bin"]


def test_writers_of_the_same_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.bin"
    process = started(path)
    write(path, b"meanwhile")
    assert path.read_bytes() == b"meanwhile"
    process.communicate("\n")
    assert process.returncode == 0
    assert path.read_bytes() == b"half whole" and os.listdir(tmp_path) == ["a.bin"]


def test_what_killed_writers_of_a_written_file_leave_is_swept_by_the_next_process(tmp_path):
    first, second = started(tmp_path / "a.bin"), started(tmp_path / "a.bin")
    second.kill()
    second.wait()
    left = set(os.listdir(tmp_path)) - {".a.bin.partial"}
    assert len(left) == 1
    (tmp_path / ".another's.partial").touch()
    write(tmp_path / "b.bin")
    assert set(os.listdir(tmp_path)) == {".a.bin.partial", ".another's.partial", "b.bin"}
    first.communicate("\n")
    assert (tmp_path / "a.bin").read_bytes() == b"half whole"
    sweep(tmp_path, PARTIAL)
    assert set(os.listdir(tmp_path)) == {"a.bin", "b.bin"}


def test_many_writers_of_the_same_file_leave_one_of_theirs(tmp_path):
    path, failures = tmp_path / "a.bin", []

    def repeat(number):
        try:
            for _ in range(50):
                with replaced(path, sync=False) as file:
                    for _ in range(4):
                        file.write(bytes([number]) * 1000)
                assert path.read_bytes() in whole
        except (OutputError, AssertionError) as error:
            failures.append(error)

    whole = [bytes([number]) * 4000 for number in range(8)]
    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert path.read_bytes() in whole and os.listdir(tmp_path) == ["a.bin"]


def test_a_planted_link_is_not_written_through(tmp_path):
    (tmp_path / "other").write_bytes(b"another's")
    (tmp_path / ".a.bin.partial").symlink_to("other")
    write(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert (tmp_path / "other").read_bytes() == b"another's"


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    write(tmp_path / ("x" * 255))
    assert os.listdir(tmp_path) == ["x" * 255]


def test_a_file_is_on_the_disk_before_it_is_moved_and_its_folder_after(tmp_path, monkeypatch):
    done = []

    def noted(name):
        call = getattr(os, name)

        def note(first, *rest):
            is_file = isinstance(first, int) and os.path.isfile(f"/proc/self/fd/{first}")
            done.append((name, is_file))
            return call(first, *rest)

        return note

    for name in ("fsync", "replace"):
        monkeypatch.setattr(files.os, name, noted(name))
    write(tmp_path / "a.bin")
    assert done == [("fsync", True), ("replace", False), ("fsync", False)]
    done.clear()
    write(tmp_path / "a.bin", sync=False)
    assert done == [("replace", False)]


def test_a_pipe_and_a_device_are_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through" and os.listdir(tmp_path) == ["pipe"]
    with replaced(tmp_path / "pipe") as file:
        os.close(reader)
        with pytest.raises(BrokenPipeError):  # whoever reads has had enough: no fault of the place
            file.write(b"x")
    (tmp_path / "null").symlink_to("/dev/null")
    write(tmp_path / "null")
    assert not os.path.isfile("/dev/null")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/a.bin", "Not a directory"),
        ("file/made/a.bin", "Not a directory"),
        ("folder", "Is a directory"),
        ("/proc/a.bin", "No such file or directory"),
        ("/dev/full", "No space left on device"),
    ],
)
@pytest.mark.parametrize("context", [replaced, appended])
def test_a_file_that_cannot_be_written_is_named_with_the_remedy(tmp_path, place, reason, context):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / place
    with pytest.raises(OutputError) as caught, context(path, "try again") as file:
        file.write(CHUNK)
    assert str(caught.value) == f"{path} cannot be written ({reason}); try again"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_leaves_no_torn_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with size_limit(1000):
        write(path, bytes(1000))
        with pytest.raises(OutputError) as caught:
            write(path, bytes(1001))
    assert str(caught.value) == f"{path} cannot be written (File too large); {REMEDY}"
    assert path.read_bytes() == bytes(1000) and os.listdir(tmp_path) == ["a.bin"]


def test_another_error_than_of_writing_passes_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), replaced(tmp_path / "a.bin"):
        open(tmp_path / "missing")
    with pytest.raises(ValueError), explained("a"):
        raise ValueError
    assert not os.listdir(tmp_path)


def test_lines_are_added_to_a_file(tmp_path):
    path = tmp_path / "made" / "a.jsonl"
    for line in (b"1\n", b"2\n"):
        with appended(path) as file:
            file.write(line)
    assert path.read_bytes() == b"1\n2\n"
    with appended(path, size=2) as file:
        file.write(b"3\n")
    assert path.read_bytes() == b"1\n3\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=f"{folder} cannot be written .*; {REMEDY}"):
            make_folder(folder)
