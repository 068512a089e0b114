"""Prepared data sets: what goes in comes out, and what cannot is recorded."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from audiotag.data import augment
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.prepare import from_csv, from_folder, prepare
from audiotag.data.resident import ResidentClips
from audiotag.data.shards import hash_keys
from audiotag.errors import DataError
from audiotag.labels import Labels

CPU = torch.device("cpu")


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
    found, index = [], pq.read_table(dataset_folder / "index.parquet")
    for split in set(index["split"].to_pylist()):
        dataset = ClipDataset(dataset_folder, split)
        found += [dataset.read(i) for i, x in enumerate(dataset.clip_labels) if x == ["low"]]
    assert len(found) == 1
    np.testing.assert_allclose(found[0] / 32767, expected, atol=1e-4)


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
    assert ClipDataset(out, "test").targets(labels).tolist() == [[1, 1]]
    assert ClipDataset(out, "train").targets(labels).tolist() == [[0, 0]]
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
    with pytest.raises(DataError, match="not a prepared data set"):
        ClipDataset(tmp_path, "train")


def test_missing_split_label_and_damage_are_named(dataset_folder):
    with pytest.raises(DataError, match="no split 'test'"):
        ClipDataset(dataset_folder, "test")
    dataset = ClipDataset(dataset_folder, "train")
    with pytest.raises(DataError, match="is not one of the model's"):
        dataset.targets(Labels(["other"]))
    shard = dataset_folder / "shards" / "000000.tar"
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(DataError, match="damaged"):
        dataset.read(0)


@pytest.fixture
def clips(sounds, tmp_path):
    """One long and one short clip in memory, and their samples."""
    table = sounds / "two.csv"
    table.write_text("path,label,split\nlow/a.wav,x,train\nhigh/long.wav,y,train\n")
    dataset = ClipDataset(prepare(from_csv(table), tmp_path / "two"), "train")
    waves = [torch.from_numpy(dataset.read(i)) / 32767 for i in range(len(dataset))]
    return ResidentClips(dataset, CPU), waves


def test_crops_are_pieces_of_the_clip(clips):
    resident, waves = clips
    numbers = torch.tensor([1, 2] * 20)
    crops = resident.crops(numbers, 2.0, torch.Generator().manual_seed(0))
    assert crops.shape == (40, 64_000)
    pieces = [waves[n].unfold(0, 64_000, 1) for n in (1, 2)]
    starts = set()
    for number, crop in zip(numbers, crops, strict=True):
        same = (pieces[number - 1][:, :50] - crop[:50]).abs().amax(1) < 1e-4
        start = [i for i in same.nonzero().flatten().tolist() if _equal(pieces, number, i, crop)]
        assert start
        starts.add(start[0])
    assert len(starts) > 20


def _equal(pieces, number, start, crop):
    return (pieces[number - 1][start] - crop).abs().max() < 1e-4


def test_short_clips_are_repeated_or_set_into_silence(clips):
    resident, waves = clips
    crops = resident.crops(torch.zeros(40, dtype=torch.long), 3.0, torch.Generator())
    loud = (crops.abs() > 1e-3).float().mean(1)
    repeated, padded = loud > 0.9, loud < 0.4
    assert (repeated | padded).all() and repeated.any() and padded.any()
    energy = crops.square().sum(1) / waves[0].square().sum()
    torch.testing.assert_close(energy[padded], torch.ones(int(padded.sum())), rtol=1e-3, atol=0)
    thrice = 3 * torch.ones(int(repeated.sum()))
    torch.testing.assert_close(energy[repeated], thrice, rtol=1e-2, atol=0)


def test_speed_moves_the_pitch(clips):
    resident, _ = clips
    speeds = torch.tensor([0.5, 1.0, 1.5])
    crops = resident.crops(torch.full((3,), 1), 1.0, torch.Generator(), speeds)
    peaks = torch.fft.rfft(crops).abs().argmax(1).float()
    torch.testing.assert_close(peaks, 2000 * speeds, rtol=0, atol=2)


def test_heads_are_the_beginnings(clips):
    resident, waves = clips
    heads = resident.heads(torch.tensor([0, 1]), 2.0)
    torch.testing.assert_close(heads[0], waves[0].repeat(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(heads[1], waves[1][:64_000], rtol=0, atol=1e-6)


def test_mix_adds_at_the_level_asked_for_and_joins_the_targets():
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(16, 8000) * torch.logspace(-2, 0, 16)[:, None]
    targets = torch.eye(16)
    mixed, joined = augment.mix(waveform, targets, 1.0, (-10.0, -10.0), generator)
    added = (mixed - waveform).square().mean(1) / waveform.square().mean(1)
    torch.testing.assert_close(added, torch.full((16,), 0.1), rtol=1e-3, atol=0)
    assert (joined >= targets).all() and joined.sum() > targets.sum()
    same, untouched = augment.mix(waveform, targets, 0.0, (-10.0, -10.0), generator)
    assert torch.equal(same, waveform) and torch.equal(untouched, targets)


def test_noise_and_gain_levels():
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(8, 32_000)
    noise = augment.add_noise(waveform, 1.0, (-20.0, -20.0), generator) - waveform
    ratio = noise.square().mean(1) / waveform.square().mean(1)
    torch.testing.assert_close(ratio, torch.full((8,), 0.01), rtol=0.1, atol=0)
    change = 20 * (augment.gain(waveform, 6.0, generator)[:, 0] / waveform[:, 0]).log10()
    assert change.abs().max() <= 6.0 and change.std() > 1


def test_mixup_blends_maps_and_targets_by_the_same_share():
    maps, targets = torch.eye(4)[:, None, :, None], torch.eye(4)
    blended, soft = augment.mixup(maps, targets, 0.8, torch.Generator().manual_seed(3))
    torch.testing.assert_close(blended[:, 0, :, 0], soft)
    torch.testing.assert_close(soft.sum(1), torch.ones(4))
    assert 0 < soft[0, 0] < 1 and soft[0, 0] + soft[0, 3] == 1
