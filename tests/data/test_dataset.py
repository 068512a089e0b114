"""Clips and labels of a prepared data set, read at random."""

import os
import pickle
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.preprocessing import MultiLabelBinarizer
from torch.utils.data import DataLoader

from audiotag.data import dataset as dataset_module
from audiotag.data import encoding
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.errors import DataError
from audiotag.label_set import Labels
from audiotag.training.sampling import balancing_weights
from tests.support.prepared_data import RATE, Clip, noise, write_dataset

NAMES = ("bell", "cat", "dog", "drum, snare")


@pytest.fixture
def clips():
    """Thirty clips of 0.1 to 0.5 s in two splits and folds 1 to 3 or none, with 0 to 4 labels."""
    draw = random.Random(0)
    return [
        Clip(
            key=f"clip-{i}" if i % 2 else f"a name of more than fifteen characters {i}",
            samples=noise(draw.randrange(800, 4000), i),
            labels=tuple(draw.sample(NAMES, draw.randrange(5))),
            split=draw.choice(["train", "valid"]),
            fold=draw.choice([1, 2, 3, None]),
        )
        for i in range(30)
    ]


@pytest.fixture
def folder(clips, tmp_path):
    return write_dataset(tmp_path / "data", clips, shards=4)


def test_every_clip_comes_back(clips, folder):
    dataset = ClipDataset(folder)
    assert len(dataset) == 30 and dataset.sample_rate == RATE
    assert list(dataset.keys) == [clip.key for clip in clips]
    assert dataset.keys[3] == "clip-3"
    assert dataset.lengths.tolist() == [len(clip.samples) for clip in clips]
    np.testing.assert_allclose(dataset.durations, [len(clip.samples) / RATE for clip in clips])
    for i in random.Random(1).sample(range(30), 30):
        assert dataset.read(i).dtype == np.int16
        np.testing.assert_array_equal(dataset.read(i), clips[i].samples)


@pytest.fixture(params=["miniaudio", "libsndfile"])
def decoder(request, monkeypatch):
    """Each of the decoders that clips may go through."""
    if request.param == "libsndfile":
        monkeypatch.setattr(encoding, "miniaudio", None)
    else:
        pytest.importorskip("miniaudio")


@pytest.mark.usefixtures("decoder")
def test_parts_of_clips_come_back(tmp_path):
    samples = noise(50_000, 0)  # several FLAC frames
    dataset = ClipDataset(write_dataset(tmp_path / "data", [Clip("a", samples)], shards=1))
    draw = random.Random(0)
    for _ in range(50):
        first, last = sorted(draw.sample(range(50_001), 2))
        np.testing.assert_array_equal(dataset.read(0, first, last), samples[first:last])
    np.testing.assert_array_equal(dataset.read(0, 49_999), samples[49_999:])


@pytest.mark.parametrize(
    "choice",
    [
        {"split": "valid"},
        {"fold": 2},
        {"without_fold": 2},
        {"split": "train", "fold": 3},
        {"split": "train", "without_fold": 3},
    ],
)
def test_split_and_fold_choose_clips(clips, folder, choice):
    def wanted(clip):
        if clip.split != choice.get("split", clip.split):
            return False
        return clip.fold == choice.get("fold", clip.fold) and (
            "without_fold" not in choice or clip.fold != choice["without_fold"]
        )

    chosen = [clip for clip in clips if wanted(clip)]
    dataset = ClipDataset(folder, **choice)
    assert 0 < len(chosen) < 30
    assert list(dataset.keys) == [clip.key for clip in chosen]
    for i, clip in enumerate(chosen):
        np.testing.assert_array_equal(dataset.read(i), clip.samples)


def test_targets_equal_scikit_learn(clips, folder):
    labels = Labels(["other", *reversed(NAMES)])
    targets = ClipDataset(folder).targets(labels)
    expected = MultiLabelBinarizer(classes=labels.names).fit_transform([x.labels for x in clips])
    assert targets.dense().dtype == np.float32
    np.testing.assert_array_equal(targets.dense(), expected)
    order = np.array([7, 0, 29, 7])
    np.testing.assert_array_equal(targets.rows(order), expected[order])
    assert targets.counts.tolist() == expected.sum(0).tolist()
    assert len(targets) == 30 and not targets.is_single


def test_targets_of_one_label_each(tmp_path):
    clips = [Clip(str(i), noise(99, i), (NAMES[i % 3],)) for i in range(7)]
    folder = write_dataset(tmp_path / "data", clips)
    assert ClipDataset(folder).targets(read_labels(folder)).is_single


def test_a_label_given_twice_counts_once(tmp_path):
    clips = [Clip("a", noise(99, 0), ("cat", "cat")), Clip("b", noise(99, 1), ("dog",))]
    targets = ClipDataset(write_dataset(tmp_path / "data", clips)).targets(Labels(["cat", "dog"]))
    assert targets.dense().tolist() == [[1, 0], [0, 1]] and targets.is_single
    assert targets.counts.tolist() == [1, 1]


@pytest.mark.parametrize(("balance", "offset"), [(1.0, 100.0), (0.5, 0.0)])
def test_weights_are_the_formulas(clips, folder, balance, offset):
    dataset = ClipDataset(folder)
    counts = {name: sum(name in clip.labels for clip in clips) for name in NAMES}
    unlabelled = sum(not clip.labels for clip in clips)
    assert unlabelled
    expected = [
        sum(1 / (counts[name] + offset) ** balance for name in clip.labels)
        or 1 / (unlabelled + offset) ** balance
        for clip in clips
    ]
    weights = balancing_weights(dataset.targets(Labels(NAMES)), balance, offset)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-12)


def test_weights_of_all_alike_without_balance(clips, folder):
    singles = [Clip(x.key, x.samples, x.labels[:1]) for x in clips]
    targets = ClipDataset(write_dataset(folder / "one", singles)).targets(Labels(NAMES))
    assert (balancing_weights(targets, 0.0) == 1).all()


def test_reads_from_many_threads_with_few_files_open(clips, folder, monkeypatch):
    monkeypatch.setattr(dataset_module, "OPEN_SHARDS", 2)
    dataset = ClipDataset(folder)
    before = len(os.listdir("/proc/self/fd"))
    numbers = random.Random(2).choices(range(30), k=600)
    with ThreadPoolExecutor(8) as pool:
        for i, samples in zip(numbers, pool.map(dataset.read, numbers), strict=True):
            np.testing.assert_array_equal(samples, clips[i].samples)
    assert len(os.listdir("/proc/self/fd")) <= before + 2 + 8


class Samples(torch.utils.data.Dataset):
    """The data set as torch's own loader takes it."""

    def __init__(self, clips):
        self.clips = clips

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return torch.from_numpy(self.clips.read(index))


def test_reads_after_fork(clips, folder):
    dataset = ClipDataset(folder)
    dataset.read(0)  # its file is open before the fork
    loader = DataLoader(
        Samples(dataset), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    for samples, clip in zip(loader, clips, strict=True):
        np.testing.assert_array_equal(samples, clip.samples)


def test_travels_to_a_new_process(clips, folder):
    dataset = ClipDataset(folder)
    dataset.read(0)
    copy = pickle.loads(pickle.dumps(dataset))
    assert list(copy.keys) == list(dataset.keys)
    np.testing.assert_array_equal(copy.read(5), clips[5].samples)


def test_wrong_choices_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="no split 'test'; it has train, valid"):
        ClipDataset(folder, "test")
    with pytest.raises(DataError, match="no fold 7; it has 1, 2, 3"):
        ClipDataset(folder, fold=7)
    with pytest.raises(DataError, match="no fold 7; it has 1, 2, 3"):
        ClipDataset(folder, without_fold=7)
    foldless = write_dataset(tmp_path / "foldless", [Clip("a", noise(99, 0))])
    with pytest.raises(DataError, match="no fold 1; its clips have no fold"):
        ClipDataset(foldless, fold=1)
    one_fold = write_dataset(tmp_path / "one fold", [Clip("a", noise(99, 0), fold=1)])
    with pytest.raises(DataError, match="has no such clips"):
        ClipDataset(one_fold, without_fold=1)
    with pytest.raises(DataError, match="not a prepared data set"):
        ClipDataset(tmp_path)
    with pytest.raises(DataError, match="'cat' is not one of the model's"):
        ClipDataset(folder).targets(Labels(["bell", "dog", "drum, snare"]))


@pytest.mark.usefixtures("decoder")
def test_damage_names_shard_and_clip(clips, folder):
    dataset = ClipDataset(folder)
    rows = pq.read_table(folder / "index.parquet").to_pylist()
    shard = folder / "shards" / rows[1]["shard"]
    data = bytearray(shard.read_bytes())
    first, last = rows[1]["offset"], rows[1]["offset"] + rows[1]["length"]
    data[first : first + 200] = bytes(200)
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"000001\.tar: clip clip-1 is missing or damaged"):
        dataset.read(1)
    np.testing.assert_array_equal(dataset.read(5), clips[5].samples)  # another clip of the shard
    shard.write_bytes(data[: (first + last) // 2])
    with pytest.raises(DataError, match="clip clip-5 is missing or damaged"):
        dataset.read(5)
    (folder / "shards" / "000002.tar").unlink()
    with pytest.raises(DataError, match=r"000002\.tar: clip .* 2 is missing or damaged"):
        dataset.read(2)


@pytest.mark.usefixtures("decoder")
def test_a_flipped_bit_never_gives_other_samples(tmp_path):
    samples = noise(20_000, 0)
    folder = write_dataset(tmp_path / "data", [Clip("a", samples)], shards=1)
    dataset, shard = ClipDataset(folder), folder / "shards" / "000000.tar"
    (row,) = pq.read_table(folder / "index.parquet").to_pylist()
    good, draw, found = shard.read_bytes(), random.Random(0), 0
    for _ in range(40):
        data = bytearray(good)
        data[row["offset"] + draw.randrange(row["length"])] ^= 1 << draw.randrange(8)
        shard.write_bytes(data)
        try:
            np.testing.assert_array_equal(dataset.read(0), samples)  # the encoder's name was hit
        except DataError as error:
            assert "clip a is missing or damaged" in str(error)
            found += 1
    assert found > 35


@pytest.mark.usefixtures("decoder")
def test_fewer_samples_than_the_index_says_are_damage(clips, folder):
    table = pq.read_table(folder / "index.parquet")
    durations = pa.array([x + 0.01 for x in table["duration"].to_pylist()])
    pq.write_table(table.set_column(5, "duration", durations), folder / "index.parquet")
    with pytest.raises(DataError, match=f"{len(clips[0].samples)} samples, the index says"):
        ClipDataset(folder).read(0)


@pytest.mark.slow
def test_an_index_of_many_clips_takes_little_memory(folder):
    count = 200_000
    table = pq.read_table(folder / "index.parquet")
    rows = table.take(pa.array(np.arange(count) % len(table)))
    keys = pa.array([f"{i:011d}" for i in range(count)])
    pq.write_table(rows.set_column(0, "key", keys), folder / "index.parquet")
    tracemalloc.start()
    dataset = ClipDataset(folder)
    targets = dataset.targets(Labels(NAMES))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset) == count and dataset.keys[-1] == f"{count - 1:011d}"
    assert targets.columns.nbytes + targets.sizes.nbytes < held  # they count too
    assert held / count < 200  # bytes a clip; keys alone take 60 in a list
