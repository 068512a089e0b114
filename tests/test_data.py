"""Prepared data sets: what goes in comes out, and what cannot is recorded."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.prepare import from_csv, from_folder, prepare
from audiotag.data.shards import hash_keys
from audiotag.errors import DataError
from audiotag.labels import Labels


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
    (folder / "low" / "empty.wav").touch()
    (folder / "low" / "text.mp3").write_text("not audio")
    (folder / "low" / "notes.txt").write_text("left alone")
    return folder


@pytest.fixture
def dataset_folder(sounds, tmp_path):
    return prepare(from_folder(sounds), tmp_path / "data")


def test_clips_labels_and_lengths(dataset_folder):
    rows = pq.read_table(dataset_folder / "index.parquet").to_pylist()
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
    for split, values in summary["splits"].items():
        keys = [row["key"] for row in rows if row["split"] == split]
        assert values == {"clips": len(keys), "keys": hash_keys(keys)}


def test_what_was_not_taken_is_recorded_with_the_reason(dataset_folder):
    lines = (dataset_folder / "failures.jsonl").read_text().splitlines()
    reasons = {line["source"].rpartition("/")[2]: line["reason"] for line in map(json.loads, lines)}
    assert set(reasons) == {"same as a.wav", "silent.wav", "empty.wav", "text.mp3"}
    assert "duplicate" in reasons["same as a.wav"] and "silent" in reasons["silent.wav"]
    assert "empty" in reasons["empty.wav"]


def test_shards_are_plain_tar_files_and_the_index_points_into_them(dataset_folder):
    rows = pq.read_table(dataset_folder / "index.parquet").to_pylist()
    for row in rows:
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


def test_samples_survive(sounds, dataset_folder):
    expected, _ = soundfile.read(sounds / "low" / "a.wav")
    dataset = ClipDataset(dataset_folder)
    (low,) = np.flatnonzero(dataset.targets(Labels(["high", "low"])).dense()[:, 1])
    np.testing.assert_allclose(dataset.read(low) / 32767, expected, atol=1e-4)


def test_table_with_times_labels_and_splits(sounds, tmp_path):
    table = sounds / "clips.csv"
    table.write_text(
        "path,label,split,fold,start,end\n"
        "high/long.wav,x; y,test,3,2.5,4\n"
        "low/a.wav,,train,,,\n"
        "low/gone.wav,x,train,,,\n"
    )
    out = prepare(from_csv(table), tmp_path / "data")
    (row,) = [r for r in pq.read_table(out / "index.parquet").to_pylist() if r["split"] == "test"]
    assert row["labels"] == ["x", "y"] and row["fold"] == 3
    assert row["duration"] == pytest.approx(1.5, abs=1e-3)
    labels = read_labels(out)
    assert ClipDataset(out, "test").targets(labels).dense().tolist() == [[1, 1]]
    assert ClipDataset(out, "train").targets(labels).dense().tolist() == [[0, 0]]
    assert "gone.wav" in (out / "failures.jsonl").read_text()


def test_split_by_hash_keeps_a_group_together(tmp_path, make_wav):
    lines = ["path,label,group"]
    for i in range(60):
        make_wav(tmp_path / f"{i}.wav", 0.1, frequency=100 + 7 * i)
        lines.append(f"{i}.wav,x,{i // 3}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    rows = pq.read_table(prepare(from_csv(tmp_path / "t.csv"), tmp_path / "o") / "index.parquet")
    splits = rows["split"].to_pylist()
    assert set(splits) == {"train", "valid"}
    assert all(len(set(splits[i : i + 3])) == 1 for i in range(0, 60, 3))


def test_prepare_gives_the_same_bytes_again_and_never_overwrites(sounds, dataset_folder, tmp_path):
    again = prepare(from_folder(sounds), tmp_path / "again", workers=5)
    shard = "shards/000000.tar"
    assert (again / shard).read_bytes() == (dataset_folder / shard).read_bytes()
    with pytest.raises(DataError, match="exists already"):
        prepare(from_folder(sounds), dataset_folder)


def test_wrong_sources_are_named(tmp_path, make_wav):
    make_wav(tmp_path / "flat" / "a.wav")
    with pytest.raises(DataError, match="one sub-folder a class"):
        from_folder(tmp_path / "flat")
    (tmp_path / "t.csv").write_text("file,class\na.wav,x\n")
    with pytest.raises(DataError, match="lacks the column label and path"):
        from_csv(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path,label,fold\na.wav,x,one\n")
    with pytest.raises(DataError, match="'one' in fold"):
        from_csv(tmp_path / "t.csv")
