"""Helpers decode as this process does, come when they are worth it, and may be lost."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from audiotag.audio import ffmpeg_process
from audiotag.audio.ffmpeg import with_pyav
from audiotag.audio.ffmpeg_process import Helper, Helpers, with_ffmpeg
from audiotag.audio.sources import DecodeError
from audiotag.audio.streams import read
from audiotag.errors import AudioError
from tests.support.audio_files import RATE, noise, write

PARTS = ((0.0, np.inf), (0.3, 0.4))


@pytest.fixture
def helper():
    made = Helper()
    yield made
    made.stop()


@pytest.fixture
def helpers(monkeypatch):
    """The helpers of this process, worth it from the first file on."""
    made = Helpers()
    monkeypatch.setattr(ffmpeg_process, "HELPERS", made)
    monkeypatch.setattr(ffmpeg_process, "WORTH", 0)
    yield made
    for helper in made.free:
        helper.stop()


@pytest.fixture
def sound(tmp_path):
    return write(tmp_path, ".m4a", noise(1.0, RATE, 2), RATE)


def whole(blocks):
    rates, samples = zip(*blocks, strict=True)
    return set(rates), np.concatenate(samples)


@pytest.mark.parametrize("suffix", [".m4a", ".opus", ".mkv", ".mp3", ".wv"])
def test_a_helper_gives_the_same(tmp_path, helper, suffix):
    path = write(tmp_path, suffix, noise(1.0, 48_000, 2), 48_000)
    for source, part in product((path, path.read_bytes()), PARTS):
        helper.ask(source, *part)
        rates, samples = whole(helper.blocks())
        expected_rates, expected = whole(with_pyav(source, *part))
        assert rates == expected_rates and helper.is_free
        np.testing.assert_array_equal(samples, expected)


def test_a_helper_finds_files_by_names_of_the_working_folder(sound, helper, monkeypatch):
    monkeypatch.chdir(sound.parent)
    helper.ask(sound.relative_to(sound.parent), 0.0, np.inf)
    assert len(whole(helper.blocks())[1]) > RATE / 2


def test_a_helper_says_why_it_cannot_decode_and_goes_on(sound, helper):
    for _ in range(2):
        with pytest.raises(DecodeError) as here:
            list(with_pyav(b"no sound" * 100, 0.0, np.inf))
        helper.ask(b"no sound" * 100, 0.0, np.inf)
        with pytest.raises(DecodeError) as there:
            list(helper.blocks())
        assert str(there.value) == str(here.value)
        helper.ask(sound, 0.0, np.inf)
        assert len(whole(helper.blocks())[1]) > RATE / 2


def test_a_few_bytes_are_decoded_here(sound, helpers, monkeypatch):
    monkeypatch.setattr(ffmpeg_process, "WORTH", 2 * sound.stat().st_size)
    for count in (0, 0, 1):
        list(with_ffmpeg(sound, 0.0, np.inf))
        assert len(helpers.free) == count


def test_each_of_the_files_at_once_has_a_helper(sound, helpers):
    expected = whole(with_pyav(sound, 0.0, np.inf))[1]
    files = [with_ffmpeg(sound, 0.0, np.inf) for _ in range(3)]
    begun = [next(blocks) for blocks in files]
    assert helpers.free == []
    for blocks, (_, first) in zip(files, begun, strict=True):
        rest = [mono for _, mono in blocks]
        np.testing.assert_array_equal(np.concatenate([first, *rest]), expected)
    made = set(helpers.free)
    assert len(made) == 3
    list(with_ffmpeg(sound, 0.0, np.inf))
    assert set(helpers.free) == made


def test_a_helper_whose_file_is_left_is_stopped(sound, helpers):
    blocks = with_ffmpeg(sound, 0.0, np.inf)
    next(blocks)
    blocks.close()
    assert helpers.free == []
    assert len(whole(with_ffmpeg(sound, 0.0, np.inf))[1]) > RATE / 2


def test_a_crash_costs_one_file(tmp_path, sound, helpers):
    (tmp_path / "long").mkdir()
    long = write(tmp_path / "long", ".m4a", noise(40.0, RATE, 2), RATE)  # more than a pipe holds
    list(with_ffmpeg(sound, 0.0, np.inf))
    (helper,) = helpers.free
    lost = with_ffmpeg(long, 0.0, np.inf)
    next(lost)
    helper.process.kill()
    with pytest.raises(DecodeError, match="FFmpeg crashed"):
        list(lost)
    assert helpers.free == []
    assert len(whole(with_ffmpeg(sound, 0.0, np.inf))[1]) > RATE / 2


def test_a_helper_that_has_ended_meanwhile_is_replaced(sound, helpers):
    list(with_ffmpeg(sound, 0.0, np.inf))
    (helper,) = helpers.free
    helper.process.kill()
    helper.process.wait()
    assert len(whole(with_ffmpeg(sound, 0.0, np.inf))[1]) > RATE / 2
    assert len(helpers.free) == 1 and helpers.free != [helper]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_has_none(sound, monkeypatch):
    monkeypatch.setattr(ffmpeg_process, "WORTH", 0)
    expected = whole(with_ffmpeg(sound, 0.0, np.inf))[1]
    assert len(ffmpeg_process.HELPERS.free) == 1
    child = os.fork()
    if not child:
        os._exit(len(ffmpeg_process.HELPERS.free))
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(whole(with_ffmpeg(sound, 0.0, np.inf))[1], expected)
    ffmpeg_process.HELPERS.free.pop().stop()


def test_a_helper_finds_what_only_a_changed_path_finds(sound, tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text(
        "class FFmpegError(Exception):\n"
        "    strerror = 'from the changed path'\n"
        "def open(*arguments, **options):\n"
        "    raise FFmpegError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    helper = Helper()
    try:
        helper.ask(sound, 0.0, np.inf)
        with pytest.raises(DecodeError, match="from the changed path"):
            list(helper.blocks())
    finally:
        helper.stop()


def test_a_helpers_command_line_names_no_place(helper):
    command = " ".join(helper.process.args[1:])
    assert "serve()" in command
    assert not any(place in command for place in sys.path if place)


@pytest.mark.parametrize("lack", ["no such program", "no Python", "frozen"])
def test_without_helpers_all_is_decoded_here(sound, helpers, monkeypatch, lack):
    if lack == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        program = "/no/such/program" if lack == "no such program" else "/bin/false"
        monkeypatch.setattr(sys, "executable", program)
    assert len(whole(with_ffmpeg(sound, 0.0, np.inf))[1]) > RATE / 2
    assert helpers.free == []


def test_a_helper_ends_with_its_parent_and_when_nothing_comes(monkeypatch):
    quiet = "import audiotag.audio.ffmpeg_process as helper; helper.IDLE = 0.2; helper.serve()"
    command = [sys.executable, "-c", quiet]
    idle = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, timeout=60)
    assert (idle.returncode, idle.stdout) == (0, b"r")  # its standard input is empty
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0


def test_errors_of_files_are_the_same_whoever_decodes(tmp_path, sound, helpers, monkeypatch):
    broken = tmp_path / "broken.m4a"
    broken.write_bytes(sound.read_bytes()[:40] * 50)
    with pytest.raises(AudioError) as there:
        read(broken, RATE)
    assert len(helpers.free) == 1
    monkeypatch.setattr(ffmpeg_process, "WORTH", 2**20)
    with pytest.raises(AudioError) as here:
        read(broken, RATE)
    assert str(there.value) == str(here.value)
