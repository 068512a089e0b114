"""Helpers decode as this process does, and what goes wrong in one costs one file."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from audiotag.audio import forked, streams
from audiotag.audio import helper as helper_module
from audiotag.audio.helper import Helper
from audiotag.audio.helper_pipe import StoppedError, until
from audiotag.audio.in_memory import Sound
from audiotag.audio.sources import USUAL, ignore
from audiotag.audio.streams import decoded, read, stream
from audiotag.errors import AudioError
from tests.support import faulty_decoders
from tests.support.audio_files import RATE, noise, write
from tests.support.faulty_decoders import write_fault

PARTS = ((0.0, np.inf), (0.3, 0.4))
ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux does")


@pytest.fixture
def faulty(helpers, monkeypatch):
    """Files may have the faults of `faulty_decoders`; helpers are not waited for as long."""
    monkeypatch.setattr(streams, "decoded", faulty_decoders.decoded)
    monkeypatch.setattr(helper_module, "PATIENCE", 3.0)
    monkeypatch.setattr(helper_module, "COMPUTING", 3.0)
    monkeypatch.setattr(helper_module, "MEMORY", 2**27)
    return helpers


@pytest.fixture
def sound(tmp_path):
    return write(tmp_path, ".m4a", noise(1.0, RATE, 2), RATE)


def here(source, start=0.0, duration=np.inf):
    """What this process decodes."""
    blocks = decoded(source, "name", RATE, start, duration, USUAL, ignore)
    return np.concatenate(list(blocks))


@pytest.mark.parametrize(
    "suffix", [".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".mkv", ".wv"]
)
def test_a_helper_gives_the_same(tmp_path, helpers, suffix):
    path = write(tmp_path, suffix, noise(1.0, 48_000, 2), 48_000)
    for source, part in product((path, path.read_bytes()), PARTS):
        expected = here(source, *part)
        named = source if isinstance(source, Path) else Sound("sound", source)
        duration = None if part[1] == np.inf else part[1]
        found = np.concatenate(list(stream(named, RATE, part[0], duration)))
        np.testing.assert_array_equal(found, expected)
    (helper,) = helpers.free
    assert helper.is_free and helper.process.pid != os.getpid()


def test_a_helper_finds_files_by_names_of_the_working_folder(sound, helpers, monkeypatch):
    list(stream(sound, RATE))
    monkeypatch.chdir(sound.parent)
    assert len(read(sound.name, RATE)) > RATE / 2
    assert len(helpers.free) == 1


def test_a_helper_says_why_it_cannot_decode_and_goes_on(sound, helpers):
    for data in (b"no sound" * 100, sound.read_bytes()[:40] * 50, b""):
        with pytest.raises(AudioError) as expected:
            here(data)
        with pytest.raises(AudioError) as found:
            list(stream(Sound("name", data), RATE))
        assert str(found.value) == str(expected.value)
        assert len(read(sound, RATE)) > RATE / 2
    assert len(helpers.free) == 1


def test_each_of_the_files_at_once_has_a_helper(sound, helpers):
    expected = here(sound)
    files = [stream(sound, RATE) for _ in range(3)]
    begun = [next(blocks) for blocks in files]
    assert helpers.free == []
    for blocks, first in zip(files, begun, strict=True):
        np.testing.assert_array_equal(np.concatenate([first, *blocks]), expected)
    made = set(helpers.free)
    assert len(made) == 3
    read(sound, RATE)
    assert set(helpers.free) == made


def test_a_helper_whose_file_is_left_takes_the_next(tmp_path, sound, helpers):
    (tmp_path / "long").mkdir()
    long = write(tmp_path / "long", ".wav", noise(120.0, RATE, 2), RATE)  # more than a pipe holds
    for _ in range(3):
        blocks = stream(long, RATE)
        next(blocks)
        blocks.close()
        (helper,) = helpers.free
        np.testing.assert_array_equal(read(sound, RATE), here(sound))
        assert helpers.free == [helper]


def test_a_file_that_is_left_and_gives_no_block_costs_its_helper(tmp_path, faulty):
    blocks = stream(write_fault(tmp_path / "x.wav", faulty_decoders.sleeps), RATE)
    next(blocks)
    time.sleep(0.5)  # until it has begun to do nothing
    blocks.close()
    assert faulty.free == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault,reason",
    [
        ("sleeps", "its decoder made no progress for 3 s"),
        ("spins", "its decoder made no progress for 3 s"),
        ("loops", "its decoder made no progress for 3 s"),
        ("fills", "it takes too much memory"),
        ("crashes", "its decoder crashed: SIGSEGV"),
        ("raises", "ZeroDivisionError: a bug of two lines"),
        ("never_ends", "its sound does not end"),
    ],
)
@pytest.mark.parametrize("form", ["file", "bytes"])
def test_a_fault_costs_one_file(tmp_path, sound, faulty, monkeypatch, fault, reason, form):
    monkeypatch.setattr(helper_module, "MOST_SAMPLES", 0)
    path = write_fault(tmp_path / "bad.wav", getattr(faulty_decoders, fault))
    bad = path if form == "file" else Sound(str(path), path.read_bytes())
    for _ in range(2):
        with pytest.raises(AudioError) as caught:
            list(stream(bad, RATE))
        assert str(caught.value) == f"{path}: cannot be decoded ({reason})"
        np.testing.assert_array_equal(read(sound, RATE), here(sound))


def test_a_bug_keeps_its_traceback_in_the_log(tmp_path, faulty, caplog):
    path = write_fault(tmp_path / "bad.wav", faulty_decoders.raises)
    with caplog.at_level(logging.DEBUG, "audiotag"), pytest.raises(AudioError):
        read(path, RATE)
    assert "faulty_decoders.py" in caplog.text and "in raises" in caplog.text


def test_what_is_doubtful_arrives(tmp_path, faulty):
    warnings: list[str] = []
    path = write_fault(tmp_path / "x.wav", faulty_decoders.doubts)
    assert len(np.concatenate(list(stream(path, RATE, warn=warnings.append)))) == 64_000
    assert warnings == ["is loud", "ends\nearly \udcff"]


def test_what_a_library_prints_is_no_answer(tmp_path, faulty):
    found = read(write_fault(tmp_path / "x.wav", faulty_decoders.prints), RATE)
    np.testing.assert_array_equal(found, np.full(32_000, 0.5, np.float32))


@pytest.mark.slow
def test_waiting_for_who_takes_the_blocks_is_not_lack_of_progress(tmp_path, faulty):
    path = write(tmp_path, ".wav", noise(100.0, RATE, 2), RATE)  # more than a pipe holds
    expected = here(path)
    blocks = stream(path, RATE)
    first = next(blocks)
    time.sleep(1.5 * helper_module.PATIENCE)
    np.testing.assert_array_equal(np.concatenate([first, *blocks]), expected)


@pytest.mark.slow
def test_a_large_file_has_more_time(tmp_path, faulty, monkeypatch):
    monkeypatch.setattr(helper_module, "SLOWEST", 1000.0)
    path = write_fault(tmp_path / "bad.wav", faulty_decoders.sleeps)
    with pytest.raises(AudioError, match="no progress for 4 s"):
        read(path, RATE)


def test_decoding_ends_when_nobody_wants_the_rest(tmp_path, faulty):
    stopped = threading.Event()
    path = write_fault(tmp_path / "bad.wav", faulty_decoders.sleeps)
    with until(stopped):
        blocks = stream(path, RATE)
        next(blocks)
        stopped.set()
        with pytest.raises(StoppedError):
            next(blocks)
    assert faulty.free == []


def test_a_helper_that_has_ended_meanwhile_is_replaced(sound, helpers):
    read(sound, RATE)
    (helper,) = helpers.free
    helper.process.kill()
    helper.process.wait()
    np.testing.assert_array_equal(read(sound, RATE), here(sound))
    assert len(helpers.free) == 1 and helpers.free != [helper]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_has_none(sound, helpers):
    os.register_at_fork(after_in_child=helpers.forget)
    expected = read(sound, RATE)
    assert len(helpers.free) == 1
    child = os.fork()
    if not child:
        try:
            found = read(sound, RATE)
            os._exit(not np.array_equal(found, expected))
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(read(sound, RATE), expected)


def test_a_helper_finds_what_only_a_changed_path_finds(sound, tmp_path, helpers, monkeypatch):
    (tmp_path / "av.py").write_text(
        "class FFmpegError(Exception):\n"
        "    strerror = 'from the changed path'\n"
        "class ArgumentError(FFmpegError): pass\n"
        "def open(*arguments, **options):\n"
        "    raise FFmpegError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AudioError, match="from the changed path"):
        read(sound, RATE)


def test_a_helpers_command_line_names_no_place():
    helper = Helper()
    command = " ".join(helper.process.args[1:])
    helper.stop()
    assert "serve(" in command
    assert not any(place in command for place in sys.path if place)


@pytest.mark.parametrize("lack", ["no such program", "no Python", "never answers", "frozen"])
def test_without_helpers_all_is_decoded_here(sound, tmp_path, helpers, monkeypatch, lack):
    if lack == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    elif lack == "never answers":
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\nexec sleep 1000\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        monkeypatch.setattr(helper_module, "START_PATIENCE", 0.5)
    else:
        program = "/no/such/program" if lack == "no such program" else "/bin/false"
        monkeypatch.setattr(sys, "executable", program)
    np.testing.assert_array_equal(read(sound, RATE), here(sound))
    assert helpers.free == []


def test_bugs_are_errors_of_files_here_too(tmp_path, decoded_here, monkeypatch):
    monkeypatch.setattr(streams, "decoded", faulty_decoders.decoded)
    path = write_fault(tmp_path / "bad.wav", faulty_decoders.raises)
    with pytest.raises(AudioError, match=r"bad.wav: cannot be decoded \(ZeroDivisionError: a bug"):
        read(path, RATE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_helpers_that_are_copies(tmp_path):
    """In a process that may be copied, as that of a command is."""
    path = write(tmp_path, ".m4a", noise(1.0, RATE, 2), RATE)
    program = (
        "import sys, numpy as np\n"
        "from audiotag.audio.helpers import HELPERS\n"
        "HELPERS.start(2)\n"
        "from audiotag.audio.forked import Fork\n"
        "from audiotag.audio.streams import read\n"
        "assert [type(helper.process) for helper in HELPERS.free] == [Fork, Fork]\n"
        "taken = HELPERS.free[-1]\n"
        f"samples = read({str(path)!r}, {RATE})\n"
        "assert taken in HELPERS.free and taken.is_free\n"
        "assert not {'soundfile', 'soxr', 'av'} & set(sys.modules)\n"
        f"np.save({str(tmp_path / 'found.npy')!r}, samples)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), here(path))


def test_a_process_with_threads_is_not_copied(monkeypatch):
    monkeypatch.setattr(forked, "WITH_THREADS", {"numpy"})
    assert not forked.can_fork()
    monkeypatch.setattr(forked, "WITH_THREADS", set())
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    assert not forked.can_fork()
    event.set()
    thread.join()


def test_a_helper_ends_with_its_parent_and_when_nothing_comes():
    quiet = (
        "import audiotag.audio.helper_process as helper; helper.IDLE = 0.2; "
        "helper.serve(open(0, 'rb'), [])"
    )
    command = [sys.executable, "-c", quiet]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.wait(timeout=60) == 0


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for text in lists for child in text.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@on_linux
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("fault", ["sleeps", "loops"])
def test_no_helper_outlives_who_asks(tmp_path, ending, fault):
    path = write_fault(tmp_path / "bad.wav", getattr(faulty_decoders, fault))
    program = (
        "from audiotag.audio import streams\n"
        "from tests.support import faulty_decoders\n"
        "streams.decoded = faulty_decoders.decoded\n"
        f"for block in streams.stream({str(path)!r}, 32_000): print('begun', flush=True)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        (helper,) = children(process.pid)
        time.sleep(0.5)  # until it is in the middle of it
        process.send_signal(ending)
        assert process.wait(timeout=60) != 0
    wait_until(lambda: not is_running(helper))
