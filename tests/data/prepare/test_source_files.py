"""Sources that have changed since: noticed by size and time, and by their contents where asked."""

import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.data.prepare.files import check_files, read_files
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.folder import FolderSource
from audiotag.errors import DataError
from tests.support.made_recordings import contents

RATE = 8000


def run(*words):
    return CliRunner().invoke(cli, ["prepare", *map(str, words)])


def write(path, seed, seconds=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, samples, RATE)


@pytest.fixture(params=["folder", "csv"])
def made(request, tmp_path):
    """Words of a command whose data set is there, and the folder of its recordings."""
    sounds = tmp_path / "sounds"
    for i in range(4):
        write(sounds / "ab"[i % 2] / f"{i}.wav", i)
    source = sounds
    if request.param == "csv":
        rows = [f"{'ab'[i % 2]}/{i}.wav,{'ab'[i % 2]}" for i in range(5)]  # the last is missing
        source = sounds / "list.csv"
        source.write_text("\n".join(["path,label", *rows]))
    words = (request.param, source, tmp_path / "data", "--sample-rate", RATE)
    assert run(*words).exit_code == 0
    return words, sounds


def test_a_finished_data_set_is_left_as_it_is_where_no_file_has_changed(made, tmp_path):
    words, sounds = made
    before = contents(tmp_path / "data")
    result = run(*words)
    assert result.exit_code == 0 and "from the same files: left as it is" in result.output
    assert contents(tmp_path / "data") == before
    moved = shutil.move(sounds, tmp_path / "moved")  # times stay
    kind, source, *rest = words
    result = run(kind, os.path.join(moved, os.path.relpath(source, sounds)), *rest)
    assert result.exit_code == 0 and "left as it is" in result.output


@pytest.mark.parametrize("change", ["longer", "written", "gone"])
def test_a_file_that_has_changed_is_named(made, tmp_path, change):
    words, sounds = made
    file = sounds / "b" / "1.wav"
    before = contents(tmp_path / "data")
    said = {
        "longer": "b/1.wav had 16,044 bytes, now 32,044",
        "written": "b/1.wav was written again",
        "gone": "b/1.wav is gone",
    }
    if change == "gone":
        file.unlink()
        if words[0] == "folder":
            said["gone"] = "other recordings, labels or splits"
    else:
        write(file, 9, 2.0 if change == "longer" else 1.0)
        os.utime(file, ns=(1, 1))
    result = run(*words)
    assert result.exit_code == 1 and said[change] in str(result.exception)
    assert contents(tmp_path / "data") == before


def test_a_file_that_was_missing_is_new(made, tmp_path):
    words, sounds = made
    if words[0] == "csv":
        write(sounds / "a" / "4.wav", 4)
        result = run(*words)
        assert result.exit_code == 1 and "(a/4.wav is new)" in str(result.exception)


def test_check_reads_the_contents(made, tmp_path):
    words, sounds = made
    file = sounds / "b" / "1.wav"
    result = run(*words, "--check")
    assert (result.exit_code, result.stdout) == (
        0,
        f"{tmp_path / 'data'}: all clips are those of the recordings\n",
    )  # noqa: E501
    # The same sound, written again: refused until its contents were looked at.
    os.utime(file, ns=(1, 1))
    assert run(*words).exit_code == 1
    assert run(*words, "--check").exit_code == 0
    assert run(*words).exit_code == 0
    # Another sound of the same size and time.
    write(file, 9)
    os.utime(file, ns=(1, 1))
    assert run(*words).exit_code == 0  # by size and time it is the same
    result = run(*words, "--check")
    assert result.exit_code == 1 and result.stdout == "b/1.wav\n"
    assert "1 of the recordings give other clips" in result.stderr
    # One that gives no clip any more.
    file.write_bytes(bytes(16_044))
    result = run(*words, "--check")
    assert result.exit_code == 1 and result.stdout.endswith("_0000_1\n")


def test_check_needs_a_data_set(tmp_path):
    write(tmp_path / "sounds" / "a" / "0.wav", 0)
    result = run("folder", tmp_path / "sounds", tmp_path / "data", "--check")
    assert result.exit_code == 1 and "is not a prepared data set" in str(result.exception)


def test_a_resumed_preparation_is_of_the_same_files(made, tmp_path):
    words, sounds = made
    out = tmp_path / "begun"
    source = FolderSource(sounds)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, RATE, report=stop)
    write(sounds / "a" / "0.wav", 9, 2.0)
    with pytest.raises(DataError, match=r"begun was made from files .*a/0.wav had 16,044 bytes"):
        prepare(source, out, RATE)


def test_older_data_sets_and_other_machines_are_compared_by_what_is_known(made, tmp_path):
    words, sounds = made
    files = read_files(FolderSource(sounds).files(4))
    assert files["path"].to_pylist() == [b"a/0.wav", b"a/2.wav", b"b/1.wav", b"b/3.wav"]
    assert files["size"].to_pylist() == [16_044] * 4
    os.utime(sounds / "a" / "0.wav", ns=(1, 1))
    out = tmp_path / "other"
    out.mkdir()
    check_files(out, files)  # nothing is known
    pq.write_table(files, out / "sources.parquet")
    later = read_files(FolderSource(sounds).files(4))
    check_files(out, later, by_time=False)
    with pytest.raises(DataError, match="a/0.wav was written again"):
        check_files(out, later)
    (out / "sources.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="sources.parquet cannot be read"):
        check_files(out, later)


@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_a_data_set_without_clips_is_no_success(kind, tmp_path):
    sounds, out = tmp_path / "sounds", tmp_path / "data"
    write(sounds / "a" / "silent.wav", 0)
    soundfile.write(sounds / "a" / "silent.wav", np.zeros(RATE), RATE)
    source = sounds
    if kind == "csv":
        source = sounds / "list.csv"
        source.write_text("path,label\na/silent.wav,a\na/none.wav,a\n")
    for _ in range(2):  # again, too
        result = run(kind, source, out)
        assert result.exit_code == 1
        message = str(result.exception)
        assert f"{out} has no clips: all that the source has was left out" in message
        assert "a/silent.wav first (silent from 0 s on)" in message
