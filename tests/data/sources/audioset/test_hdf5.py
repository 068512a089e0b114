"""AudioSet's HDF5 files, written small as PANNs and PaSST write them."""

import io
import re
import sys

import h5py
import numpy as np
import pytest
import soundfile

from audiotag.data.dataset import ClipDataset
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.errors import DataError
from audiotag.label_set import Labels
from tests.support.made_recordings import failures_of, rows_of

RATE, COUNT = 32_000, 6
NAMES = Labels.audioset().names


def waves():
    noise = np.random.default_rng(0).normal(0, 3000, (COUNT, RATE))
    return noise.astype(np.int16)


def targets():
    """Clip i has the classes i and 500 + i."""
    target = np.zeros((COUNT, 527), bool)
    for i in range(COUNT):
        target[i, [i, 500 + i]] = True
    return target


def write_panns(path):
    with h5py.File(path, "w") as file:
        names = [f"Y-{i:09d}_.wav".encode() for i in range(COUNT)]
        file.create_dataset("audio_name", data=np.array(names, "S20"))
        file.create_dataset("waveform", data=waves(), chunks=(1, RATE))
        file.create_dataset("target", data=targets())


def write_passt(path):
    with h5py.File(path, "w") as file:
        names = [f"Yp{i:09d}_.mp3".encode() for i in range(COUNT)]
        file.create_dataset("audio_name", data=np.array(names, "S20"))
        mp3 = file.create_dataset("mp3", (COUNT,), h5py.vlen_dtype(np.uint8))
        for i, wave in enumerate(waves()):
            data = io.BytesIO()
            soundfile.write(data, wave, RATE, format="MP3")
            mp3[i] = np.frombuffer(data.getvalue(), np.uint8)
        file.create_dataset("target", data=np.packbits(targets(), axis=-1))
        assert file["target"].shape == (COUNT, 66)


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    write_panns(copy / "full_unbal_bal_train_wav.h5")
    write_passt(copy / "eval_segments_mp3.hdf")
    return copy


def test_both_layouts_give_clips_with_their_labels(folder, tmp_path):
    out = prepare(open_audioset(folder), tmp_path / "data", RATE)
    rows = {row["key"]: row for row in rows_of(out)}
    assert len(rows) == 2 * COUNT
    for i in range(COUNT):
        for key, split in ((f"-{i:09d}_", "train"), (f"p{i:09d}_", "eval")):
            assert set(rows[key]["labels"]) == {NAMES[i], NAMES[500 + i]}
            assert rows[key]["split"] == split
    data = ClipDataset(out, "train")
    for i, key in enumerate(data.keys):
        np.testing.assert_array_equal(data.read(i), waves()[int(str(key)[1:10])])


def test_one_file_is_taken_alone(folder, tmp_path):
    out = prepare(open_audioset(folder / "eval_segments_mp3.hdf"), tmp_path / "data", RATE)
    assert [row["key"] for row in rows_of(out)] == [f"p{i:09d}_" for i in range(COUNT)]


def test_a_file_of_another_kind_is_refused(folder):
    (folder / "notes.txt").write_text("no clips")
    with pytest.raises(DataError, match="notes.txt is not one of AudioSet's"):
        open_audioset(folder / "notes.txt")


def test_subsets_classes_and_parts(folder):
    assert len(open_audioset(folder, ["eval"])) == COUNT
    source = open_audioset(folder, classes=[NAMES[3], NAMES[501]])
    keys = [x.key for x in source.recordings(0, len(source))]
    assert sorted(keys) == ["-000000001_", "-000000003_", "p000000001_", "p000000003_"]
    assert [x.key for x in source.recordings(1, 3)] == keys[1:3]
    with pytest.raises(DataError, match="no files of balanced"):
        open_audioset(folder, ["balanced"])


def test_damage_costs_only_what_it_hits(folder, tmp_path):
    path = folder / "full_unbal_bal_train_wav.h5"
    with h5py.File(path, "w") as file:
        names = [f"Y-{i:09d}_.wav".encode() for i in range(COUNT)]
        file.create_dataset("audio_name", data=np.array(names, "S20"))
        waveform = file.create_dataset(
            "waveform", data=waves(), chunks=(1, RATE), compression="gzip", fletcher32=True
        )
        file.create_dataset("target", data=targets())
        place = waveform.id.get_chunk_info(2).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 100 : place + 140] = bytes(40)
    path.write_bytes(data)
    (folder / "eval_segments_mp3.hdf").write_bytes(b"no HDF5")
    out = prepare(open_audioset(folder), tmp_path / "data", RATE)
    assert sorted(row["key"][1:10] for row in rows_of(out)) == [
        f"{i:09d}" for i in range(COUNT) if i != 2
    ]
    sources = sorted(failure["source"] for failure in failures_of(out))
    assert sources == ["eval_segments_mp3.hdf", "full_unbal_bal_train_wav.h5, row 2"]


def write_waveforms(path, waveform, rate=None, place="file", group=None, name="sample_rate"):
    """A file in PANNs' layout, with the rate in an attribute of the file, group or data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        holder = file if group is None else file.create_group(group)
        names = [f"Y-{i:09d}_.wav".encode() for i in range(COUNT)]
        holder.create_dataset("audio_name", data=np.array(names, "S20"))
        holder.create_dataset("waveform", data=waveform)
        holder.create_dataset("target", data=targets())
        if rate is not None:
            owner = {"file": file, "group": holder, "set": holder["waveform"]}[place]
            owner.attrs[name] = rate


def read_all(source):
    return list(source.recordings(0, len(source)))


@pytest.mark.parametrize(
    ("name", "place", "group", "rate", "heard"),
    [
        ("sample_rate", "file", None, np.int32(16_000), 16_000),
        ("sr", "set", None, 8_000, 8_000),
        ("samplerate", "group", "clips", 22_050.0, 22_050),
        ("Sampling_Rate", "file", "clips", b"44100", 44_100),
        ("fs", "set", None, [48_000], 48_000),
        ("rate", "file", None, 16, 16_000),
    ],
)
def test_the_rate_is_read_where_the_file_says_it(tmp_path, name, place, group, rate, heard):
    write_waveforms(tmp_path / "eval.h5", waves(), rate, place, group, name)
    clips = read_all(open_audioset(tmp_path))
    assert [(x.audio.rate, len(x.audio.samples)) for x in clips] == [(heard, RATE)] * COUNT


def test_a_rate_that_is_none_is_named(tmp_path):
    write_waveforms(tmp_path / "eval.h5", waves(), 3)
    with pytest.raises(DataError, match="eval.h5: its sample_rate is .3., which is no sample rate"):
        open_audioset(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "said", "rate", "words"),
    [
        (10, None, 8_000, "taken for 8,000 Hz .its clips have 80,000 samples"),
        (1, None, 32_000, "taken for 32,000 Hz .as PANNs' files have"),
        (1, 16_000, 16_000, None),
    ],
)
def test_a_rate_that_the_file_does_not_say_is_said(tmp_path, seconds, said, rate, words):
    write_waveforms(tmp_path / "eval.h5", np.tile(waves()[:, :8000], (1, seconds)))
    source = open_audioset(tmp_path, rate=said)
    assert read_all(source)[0].audio.rate == rate
    notes = "; ".join(source.notes)
    assert re.search(words, notes) if words else "--source-rate" not in notes


LOUD = waves() * 8  # the greatest is above a quarter of full scale
TYPES = {
    "int8": (LOUD >> 8, 2**-7),
    "uint8": ((LOUD >> 8) + 128, 2**-7),
    "int16": (LOUD, 2**-15),
    "uint16": (LOUD.astype(int) + 2**15, 2**-15),
    "int32": (LOUD.astype(int) << 16, 2**-15),
    "int64": (LOUD.astype(int) << 8, 2**-15),  # 24 bits
    "float16": (LOUD / 2**15, 2**-11),
    "float32": (LOUD / 2**15, 2**-15),
    "float64": (LOUD / 2**15, 2**-15),
}


@pytest.mark.parametrize("type_", TYPES)
def test_samples_of_every_type_are_the_same_sound(tmp_path, type_):
    values, step = TYPES[type_]
    write_waveforms(tmp_path / "eval.h5", values.astype(type_), RATE)
    found = np.stack([x.audio.samples for x in read_all(open_audioset(tmp_path))])
    np.testing.assert_allclose(found, LOUD / 2**15, atol=step)
    assert found.dtype == np.float32


@pytest.mark.parametrize("type_", ["int32", "float32"])
def test_samples_of_16_bits_in_a_wider_type_are_said(tmp_path, type_):
    write_waveforms(tmp_path / "eval.h5", LOUD.astype(type_), RATE)
    source = open_audioset(tmp_path)
    np.testing.assert_array_equal(read_all(source)[2].audio.samples, LOUD[2] / np.float32(2**15))
    assert f"of type {type_} are taken for 16 bits" in source.notes[-1]


@pytest.mark.slow
def test_splits_are_found_in_names_and_told(tmp_path):
    names = ("train.h5", "test.h5", "valid.h5", "eval/part00.h5", "Unbalanced_Train01.h5", "x.h5")
    for name in names:
        write_waveforms(tmp_path / "copy" / name, waves(), RATE)
    source = open_audioset(tmp_path / "copy")
    found = {x.name.rpartition("/")[0]: x.split for x in read_all(source)}
    assert found == {
        "train.h5": "train",
        "test.h5": "eval",  # AudioSet has one set that is held out
        "valid.h5": "valid",
        "eval/part00.h5": "eval",
        "Unbalanced_Train01.h5": "train",
        "x.h5": "train",
    }
    assert "split eval: eval/part00.h5, test.h5" in source.notes
    assert len(open_audioset(tmp_path / "copy", ["unbalanced"])) == COUNT
    assert len(open_audioset(tmp_path / "copy", ["balanced"])) == 2 * COUNT


def test_indexes_are_passed_over_and_alone_named(tmp_path):
    folder = tmp_path / "hdf5s"
    write_waveforms(folder / "waveforms" / "eval.h5", waves(), RATE)
    (folder / "indexes").mkdir()
    with h5py.File(folder / "indexes" / "eval.h5", "w") as file:
        for name, value in {
            "audio_name": np.array([b"Y-000000000_.wav"] * COUNT),
            "hdf5_path": np.array([b"/mnt/waveforms/eval.h5"] * COUNT),
            "index_in_hdf5": np.arange(COUNT),
            "target": targets(),
        }.items():
            file[name] = value
    source = open_audioset(folder)
    assert len(source) == COUNT and "indexes/eval.h5 is an index of clips" in source.notes[-1]
    with pytest.raises(DataError, match="indexes/eval.h5 is an index of clips whose waveforms"):
        open_audioset(folder / "indexes")


def test_other_layouts_and_a_missing_h5py_are_named(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "eval.h5", "w") as file:
        file.create_dataset("target", data=targets())
    with pytest.raises(DataError, match="no audio_name and no waveform or mp3"):
        open_audioset(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"pip install 'audiotag-dcls\[train\]'"):
        open_audioset(tmp_path)
