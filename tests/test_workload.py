"""How much there is to hear: what is said of real files, and when it counts as long."""

from itertools import count
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from audiotag import workload
from audiotag.cli import cli
from audiotag.errors import ModelError


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_no_file_is_taken_to_last_longer_than_it_does(make_wav, tmp_path, suffix):
    file = make_wav(tmp_path / f"sound{suffix}", 3.0, 44_100, 2)
    assert 0 < workload.least_seconds(file) <= soundfile.info(file).duration * 1.05


def test_a_missing_file_adds_nothing(tmp_path):
    assert workload.least_seconds(tmp_path / "missing.wav") == 0


def test_long_work_is_known_from_its_first_files_and_none_is_lost(tmp_path):
    file = tmp_path / "hour.wav"
    with file.open("wb") as opened:
        opened.truncate(3600 * workload.PLAIN_RATE)  # a hole: takes no room
    looked_at = []

    def endless():
        for number in count():
            looked_at.append(number)
            yield file

    is_long, files = workload.is_long(endless())
    assert is_long and len(looked_at) == 6  # 6 h are the first beyond 20,000 s
    assert [next(files) for _ in range(8)] == [file] * 8 and len(looked_at) == 8
    is_long, files = workload.is_long([file] * 5)
    assert not is_long and list(files) == [file] * 5
    assert workload.is_long([file] * 5, overlap=2.0)[0]


def test_nothing_is_no_long_work():
    is_long, files = workload.is_long(iter([]))
    assert not is_long and list(files) == []
    assert not workload.is_long([Path("missing")] * 3)[0]


@pytest.mark.parametrize("command", [["tag"], ["embed", "--output", "out.npz"]])
@pytest.mark.parametrize(
    ("paths", "engine", "expected"),
    [(["sounds"], "auto", True), (["sounds"], "onnx", False), (["-"], "auto", False)],
)
def test_commands_say_when_work_is_long(
    command, paths, engine, expected, make_wav, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make_wav("sounds/a.wav", 3.0)
    monkeypatch.setattr(workload, "LONG_WORK", 0.2)
    asked = []

    def open_engine(model, device, engine, long_work):
        asked.append(long_work)
        raise ModelError("enough")

    monkeypatch.setattr("audiotag.engine.open_engine", open_engine)
    arguments = [*command, *paths, "--engine", engine]
    CliRunner().invoke(cli, arguments, input="sounds/a.wav\n")
    assert asked == [expected]
