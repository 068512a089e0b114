"""AudioSet's HDF5 files, written small as PANNs and PaSST write them."""

import io
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


def test_other_layouts_and_a_missing_h5py_are_named(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "eval.h5", "w") as file:
        file.create_dataset("target", data=targets())
    with pytest.raises(DataError, match="no audio_name and no waveform or mp3"):
        open_audioset(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"pip install 'audiotag-dcls\[train\]'"):
        open_audioset(tmp_path)
