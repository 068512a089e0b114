"""Prepared data sets: what goes in comes out, what cannot is recorded, and nothing is lost."""

import hashlib
import io
import json
import os
import tarfile

import numpy as np
import pytest
import soundfile
import webdataset
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.cli.prepare import prepare as command
from audiotag.cli.progress.prepare import describe
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.encoding import ENCODINGS
from audiotag.data.prepare.merge import merge
from audiotag.data.prepare.prepare import prepare
from audiotag.data.prepare.verify import verify
from audiotag.data.progress import PreparationState
from audiotag.data.recordings import BytesAudio, Failure, Recording, SamplesAudio
from audiotag.data.shards import hash_keys
from audiotag.data.sources.folder import FolderSource
from audiotag.errors import AudioError, DataError, OutputError
from audiotag.label_set import Labels
from tests.support.made_recordings import (
    RATE,
    ListSource,
    contents,
    failures_of,
    noise,
    recording,
    rows_of,
)


@pytest.fixture
def sounds(tmp_path, make_wav):
    """A folder a class, with a long file, a duplicate, silence, an empty and a false file."""
    folder = tmp_path / "sounds"
    make_wav(folder / "low" / "a.wav", 1.0, frequency=200)
    make_wav(folder / "low" / "same as a.wav", 1.0, frequency=200)
    time = np.arange(25 * 32_000) / 32_000  # louder and louder: no two pieces are the same
    swell = (0.2 + 0.02 * time) * np.sin(2 * np.pi * 2000 * time)
    make_wav(folder / "high" / "deep" / "b.flac", 2.0, 44_100, 2, frequency=3000)
    soundfile.write(folder / "high" / "long.wav", swell, 32_000)
    soundfile.write(folder / "low" / "silent.wav", np.zeros(32_000), 32_000)
    soundfile.write(folder / "low" / "no samples.wav", np.zeros(0), 32_000)
    (folder / "low" / "empty.wav").touch()
    (folder / "low" / "text.mp3").write_text("not audio")
    (folder / "low" / "notes.txt").write_text("left alone")
    (folder / "unsorted.wav").touch()
    return folder


@pytest.fixture
def dataset_folder(sounds, tmp_path):
    return prepare(FolderSource(sounds), tmp_path / "data")


def test_clips_labels_and_lengths(dataset_folder):
    rows = rows_of(dataset_folder)
    assert sorted((row["labels"][0], round(row["duration"], 2)) for row in rows) == [
        ("high", 2.0),
        ("high", 5.0),
        ("high", 10.0),
        ("high", 10.0),
        ("low", 1.0),
    ]
    assert read_labels(dataset_folder) == Labels(["high", "low"])
    summary = json.loads((dataset_folder / "dataset.json").read_text())
    assert summary["clips"] == 5 and summary["hours"] == pytest.approx(28 / 3600)
    assert summary["labels"] == 2 and summary["settings"]["clip_seconds"] == 10
    for split, values in summary["splits"].items():
        keys = [row["key"] for row in rows if row["split"] == split]
        assert values == {"clips": len(keys), "keys": hash_keys(keys)}


def test_what_was_not_taken_is_recorded_with_the_reason(dataset_folder):
    lines = failures_of(dataset_folder)
    failures = {line["source"]: (line["kind"], line["reason"]) for line in lines}
    digest = {row["key"]: row["sha256"] for row in rows_of(dataset_folder)}["00000002_0000_a"]
    assert failures == {
        "low/same as a.wav": (
            "duplicate",
            f"a clip with the same samples is there already (sha256 {digest})",
        ),
        "low/silent.wav": ("silent", "silent from 0 s on"),
        "low/empty.wav": ("empty", "the file is empty"),
        "low/no samples.wav": ("empty", "holds no audio samples"),
        "low/text.mp3": failures["low/text.mp3"],
        "unsorted.wav": ("unlabelled", "lies in no sub-folder, which would be its class"),
    }
    assert failures["low/text.mp3"][0] == "unreadable"
    assert failures["low/text.mp3"][1].startswith("cannot be decoded")
    counts = json.loads((dataset_folder / "dataset.json").read_text())["failures"]
    assert counts == {"duplicate": 1, "empty": 2, "silent": 1, "unlabelled": 1, "unreadable": 1}


def test_shards_are_plain_tar_files_and_the_index_points_into_them(dataset_folder):
    for row in rows_of(dataset_folder):
        path = dataset_folder / "shards" / row["shard"]
        with tarfile.open(path) as tar:
            inside = tar.extractfile(f"{row['key']}.flac").read()
            about = json.load(tar.extractfile(f"{row['key']}.json"))
        data = path.read_bytes()[row["offset"] : row["offset"] + row["length"]]
        assert data == inside
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert about["labels"] == row["labels"]
        assert about["end"] - about["start"] == pytest.approx(row["duration"])
        samples, rate = soundfile.read(io.BytesIO(data))
        assert rate == 32_000 and len(samples) / rate == pytest.approx(row["duration"])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_webdataset_reads_the_shards(tmp_path, encoding):
    source = ListSource([recording(i, 0.5) for i in range(30)])
    out = prepare(source, tmp_path / "data", RATE, encoding=encoding, shard_bytes=40_000)
    shards = sorted(str(path) for path in (out / "shards").iterdir())
    assert len(shards) > 3
    samples = {row["__key__"]: row for row in webdataset.WebDataset(shards, shardshuffle=False)}
    assert list(samples) == [row["key"] for row in rows_of(out)]
    dataset = ClipDataset(out)
    for number, (key, sample) in enumerate(samples.items()):
        read, _ = soundfile.read(io.BytesIO(sample[encoding]), dtype="int16")
        np.testing.assert_array_equal(read, dataset.read(number))
        np.testing.assert_allclose(read / 32767, noise(number, 0.5), atol=1 / 65534 + 1e-7)
        assert json.loads(sample["json"])["key"] == key


def test_parts_of_wav_clips_are_read_and_damage_is_told(tmp_path):
    out = prepare(ListSource([recording(0, 1.0)]), tmp_path / "data", RATE, encoding="wav")
    dataset, expected = ClipDataset(out), np.round(noise(0, 1.0) * 32767)
    np.testing.assert_array_equal(dataset.read(0, 1000, 1500), expected[1000:1500])
    assert not any(checked.damages for checked in verify(out))
    (row,), shard = rows_of(out), out / "shards" / "0000-000000.tar"
    good = shard.read_bytes()
    for place, byte in ((22, 2), (34, 24), (36, 0), (40, good[row["offset"] + 40] ^ 4)):
        data = bytearray(good)
        data[row["offset"] + place] = byte  # channels, bits, name and size of the samples
        shard.write_bytes(data)
        with pytest.raises(DataError, match="clip .* is missing or damaged"):
            dataset.read(0)
        assert sum(len(checked.damages) for checked in verify(out)) == 1
    for length in (row["length"] - 1, 20):
        shard.write_bytes(good[: row["offset"] + length])
        with pytest.raises(DataError, match="clip .* is missing or damaged"):
            dataset.read(0)


def test_other_encoding_is_another_data_set(tmp_path):
    source = ListSource([recording(0, 0.5)])
    out = prepare(source, tmp_path / "data", RATE)
    settings = json.loads((out / "dataset.json").read_text())
    del settings["settings"]["encoding"]  # as data sets were before there was a choice
    (out / "dataset.json").write_text(json.dumps(settings))
    assert prepare(source, out, RATE) == out
    with pytest.raises(DataError, match="encoding flac, now wav"):
        prepare(source, out, RATE, encoding="wav")


def test_samples_survive(sounds, dataset_folder):
    expected, _ = soundfile.read(sounds / "low" / "a.wav")
    dataset = ClipDataset(dataset_folder)
    (low,) = np.flatnonzero(dataset.targets(Labels(["high", "low"])).dense()[:, 1])
    np.testing.assert_allclose(dataset.read(low) / 32767, expected, atol=1e-4)


def test_all_clips_of_a_source_file_are_in_one_split(tmp_path):
    source = ListSource([recording(i, 3.0) for i in range(40)])
    rows = rows_of(prepare(source, tmp_path / "data", RATE, clip_seconds=1.0))
    splits = [row["split"] for row in rows]
    assert len(rows) == 120 and set(splits) == {"train", "valid"}
    assert all(len(set(splits[i : i + 3])) == 1 for i in range(0, 120, 3))


def test_a_recording_with_a_key_is_one_clip_of_that_name(tmp_path):
    items = [
        recording(0, 2.5, key="-_abcdefghi"),
        recording(1, 0.3, key="../up.wav"),
        recording(2, 1.0, key="-_abcdefghi"),
    ]
    out = prepare(ListSource(items), tmp_path / "data", RATE, clip_seconds=2.0)
    first, second = rows_of(out)
    assert (first["key"], first["duration"]) == ("-_abcdefghi", 2.0)
    assert set(second["key"]).isdisjoint("./") and second["duration"] == 0.3
    (failure,) = failures_of(out)
    assert failure["kind"] == "duplicate" and "key -_abcdefghi" in failure["reason"]


def test_the_rest_of_a_recording_is_a_clip_unless_it_is_tiny(tmp_path):
    items = [recording(0, 10.02), recording(1, 10.5), recording(2, 0.02)]
    out = prepare(ListSource(items), tmp_path / "data", RATE)
    assert [row["duration"] for row in rows_of(out)] == [10, 10, 0.5, 0.02]
    (failure,) = failures_of(out)
    assert failure["kind"] == "too short" and "0.020 s, from 10 s on" in failure["reason"]


def test_silence_and_duplicates_are_kept_on_request(tmp_path):
    quiet = Recording("quiet", SamplesAudio(np.full(RATE, 1e-4, np.float32), RATE))
    source = ListSource([recording(0), recording(0), quiet])
    out = prepare(source, tmp_path / "a", RATE, keep_silence=True, keep_duplicates=True)
    assert len(rows_of(out)) == 3 and not failures_of(out)
    assert len(rows_of(prepare(source, tmp_path / "b", RATE, keep_silence=True))) == 2
    assert len(rows_of(prepare(source, tmp_path / "c", RATE, keep_duplicates=True))) == 2


class BrokenAudio:
    def read(self, sample_rate):
        raise AudioError("audio data: cannot be decoded (made so)")


def test_failures_of_a_source_and_numbers_that_are_none(tmp_path):
    nan = SamplesAudio(np.full(RATE, np.nan, np.float32), RATE)
    items = [
        Failure("v=1", "is gone", "gone"),
        Recording("a:b", BrokenAudio()),
        Recording("nan", nan),
        Recording("none", SamplesAudio(np.empty(0, np.float32), RATE)),
    ]
    out = prepare(ListSource(items, labels=("b", "a")), tmp_path / "data", RATE)
    assert failures_of(out) == [
        {"source": "v=1", "reason": "is gone", "kind": "gone"},
        {"source": "a:b", "reason": "cannot be decoded (made so)", "kind": "unreadable"},
        {
            "source": "nan",
            "reason": "holds NaN or infinite samples from 0 s on",
            "kind": "unreadable",
        },
        {"source": "none", "reason": "holds no audio samples", "kind": "empty"},
    ]
    assert rows_of(out) == [] and not list((out / "shards").iterdir())
    assert read_labels(out) == Labels(["b", "a"])


def test_control_characters_break_no_line_of_what_is_shown(tmp_path):
    label, split = "dog\n\tbark\x1b[31m\u2028", "va\r\nlid"
    items = [
        Recording(f"{i}\n.wav", SamplesAudio(noise(i), RATE), (label,), split) for i in range(2)
    ]
    out = prepare(ListSource(items), tmp_path / "data", RATE)
    shown = "dog\\n\\tbark\\x1b[31m\\u2028"
    assert read_labels(out).names == (shown,)
    assert {row["split"] for row in rows_of(out)} == {"va\\r\\nlid"}
    result = CliRunner().invoke(cli, ["data", str(out)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert any(shown in line for line in result.output.splitlines())
    assert "\x1b[31m" not in result.output and "\u2028" not in result.output


def test_recordings_that_are_decoded_with_a_warning_are_kept_and_named(tmp_path, make_wav):
    folder = tmp_path / "sounds" / "x"
    make_wav(folder / "good.wav", 1.0, frequency=300)
    make_wav(folder / "more.wav", 1.0, frequency=500)
    data = bytearray((folder / "more.wav").read_bytes())
    data[40:44] = (44).to_bytes(4, "little")  # the rest is sound that no size covers
    (folder / "more.wav").write_bytes(data)
    for number, kind in enumerate(("files", "bytes")):
        source, out = FolderSource(folder.parent), tmp_path / kind
        if kind == "bytes":
            source = ListSource([Recording("x/more.wav", BytesAudio(bytes(data)), ("x",))])
            prepare(source, out)
        else:
            result = CliRunner().invoke(command, ["folder", str(folder.parent), str(out)])
            assert "left out" not in result.stderr and result.exit_code == 0
            assert f"kept with a warning: 1; see {out / 'failures.jsonl'}" in result.stderr
        (failure,) = failures_of(out)
        assert (failure["source"][-6:], failure["kind"]) == ("re.wav", "doubtful")
        assert "after the end that its header gives, which is heard too" in failure["reason"]
        assert [row["duration"] for row in rows_of(out)] == [1.0] * (2 - number)


def test_same_bytes_again_and_a_finished_data_set_is_left_alone(sounds, dataset_folder, tmp_path):
    again = prepare(FolderSource(sounds), tmp_path / "again", workers=5)
    assert contents(again) == contents(dataset_folder)
    times = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    prepare(FolderSource(sounds), again)
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == times
    with pytest.raises(DataError, match="sample_rate 32000, now 8000"):
        prepare(FolderSource(sounds), again, 8000)
    (sounds / "low" / "a.wav").unlink()
    with pytest.raises(DataError, match="other recordings, labels or splits"):
        prepare(FolderSource(sounds), again)
    with pytest.raises(DataError, match="is not a prepared data set; choose another"):
        prepare(FolderSource(sounds), sounds)


def test_what_stopped_in_the_middle_goes_on_only_with_the_same_settings(tmp_path):
    items = [recording(i) for i in range(30)]

    class Stopping(ListSource):
        def recordings(self, first, last):
            yield from self.items[first:20]
            raise KeyboardInterrupt

    Stopping.__name__ = "ListSource"
    whole = prepare(ListSource(items), tmp_path / "whole", RATE, shard_bytes=50_000)
    out = tmp_path / "data"
    with pytest.raises(KeyboardInterrupt):
        prepare(Stopping(items), out, RATE, shard_bytes=50_000)
    assert 0 < len(list((out / "shards").iterdir())) < len(list((whole / "shards").iterdir()))
    with pytest.raises(DataError, match="was started with other settings .keep_silence False, now"):
        prepare(ListSource(items), out, RATE, shard_bytes=50_000, keep_silence=True)
    with pytest.raises(DataError, match="other recordings"):
        prepare(ListSource(items, fingerprint="new"), out, RATE, shard_bytes=50_000)
    with pytest.raises(DataError, match="only a beginning of share 0"):
        merge(out)
    os.truncate(out / "shards" / "0000-000001.tar", 1000)
    prepare(ListSource(items), out, RATE, shard_bytes=50_000)
    assert contents(out) == contents(whole)


def test_one_share_is_done_by_one_process_at_a_time(tmp_path):
    out = tmp_path / "data"

    class Nested(ListSource):
        def recordings(self, first, last):
            with pytest.raises(OutputError, match="another process prepares share 0"):
                prepare(self, out, RATE)
            yield from super().recordings(first, last)

    assert len(rows_of(prepare(Nested([recording(0)]), out, RATE))) == 1


def test_limit_takes_the_first_recordings(tmp_path):
    source = ListSource([recording(i) for i in range(9)])
    seen = []
    out = prepare(source, tmp_path / "data", RATE, limit=4, report=seen.append)
    assert len(rows_of(out)) == 4
    assert seen[-1] == PreparationState(before=0, recordings=4, total=4, clips=4, failures=0)


@pytest.mark.parametrize("name", command.commands)
def test_every_kind_has_help_with_an_example(name):
    result = CliRunner().invoke(command, [name, "--help"])
    assert result.exit_code == 0
    assert f"audiotag prepare {name}" in result.output.split("Example")[1]


def test_progress_knows_what_earlier_runs_did():
    progress = PreparationState(before=1000, recordings=3000, total=9000, clips=4000, failures=12)
    assert describe(progress, 20.0) == (
        "3,000 of 9,000 recordings, 4,000 clips, 200 clips/s, 12 left out, 0:01:00 left"
    )
