"""Archives and prepared data sets, damaged at random with kept seeds: what is wrong is said, clip
by clip or in one sentence, and never as a traceback."""

import json
import math

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audiotag.data.dataset import ClipDataset, read_folds, read_labels
from audiotag.data.prepare.prepare import prepare
from audiotag.data.prepare.verify import verify
from audiotag.data.recordings import Failure
from audiotag.data.sources.audioset import hdf5_process
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.data.sources.csv_table import CsvSource
from audiotag.data.summary import summarise
from audiotag.errors import AudioTagError, DataError
from audiotag.label_set import Labels
from tests.data.sources.audioset.test_hdf5 import write_panns, write_passt
from tests.support.audioset_parquet import clip
from tests.support.damage import DAMAGES
from tests.support.made_recordings import RATE, ListSource, failures_of, recording, rows_of

FILES = ("index.parquet", "dataset.json", "labels.json")


def damaged(content, seed):
    return DAMAGES[seed % len(DAMAGES)](content, np.random.default_rng(seed))


def all_of(path):
    """The recordings and failures of an archive; the sentence if it is refused."""
    try:
        source = open_audioset(path)
        return list(source.recordings(0, len(source)))
    except DataError as error:
        return str(error)


@pytest.fixture
def balanced(tmp_path):
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy" / "balanced_train.h5"


@pytest.fixture
def parquet(tmp_path):
    (tmp_path / "bal_train").mkdir()
    return tmp_path / "bal_train" / "00.parquet"


@pytest.fixture
def three(tmp_path):
    return prepare(ListSource([recording(i) for i in range(3)]), tmp_path / "data", RATE)


def read_all(folder):
    """Use a prepared data set in every way."""
    summarise(folder)
    read_folds(folder)
    data = ClipDataset(folder)
    data.targets(read_labels(folder))
    for index in range(len(data)):
        data.read(index)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_panns, write_passt])
def test_a_damaged_hdf5_file_fails_clip_by_clip(write, balanced, monkeypatch):
    monkeypatch.setattr(hdf5_process, "PATIENCE", 10.0)
    write(balanced)
    good, tried = balanced.read_bytes(), 40
    for seed in range(tried):
        balanced.write_bytes(damaged(good, seed))
        found = all_of(balanced)
        assert found and (isinstance(found, str) or len(found) <= 6), seed


def elsewhere(path, how, target):
    """A file of PANNs' layout whose samples lie in another file."""
    write_panns(path)
    with h5py.File(path, "a") as file:
        shape = file["waveform"].shape
        del file["waveform"]
        if how == "external storage":
            file.create_dataset("waveform", shape, np.int16, external=[(str(target), 0, 2**20)])
        elif how == "external link":
            file["waveform"] = h5py.ExternalLink(str(target), "waveform")
        elif how == "soft link":
            file["waveform"] = h5py.SoftLink("/audio_name")
        else:
            layout = h5py.VirtualLayout(shape, np.int16)
            layout[:] = h5py.VirtualSource(str(target), "waveform", shape)
            file.create_virtual_dataset("waveform", layout)


@pytest.mark.parametrize(
    "how", ["external storage", "external link", "soft link", "virtual data set"]
)
def test_samples_in_another_file_are_never_read(how, balanced, tmp_path):
    secret = tmp_path / "secret.h5"
    write_panns(secret)
    elsewhere(balanced, how, secret)
    error = all_of(balanced)
    assert isinstance(error, str) and "waveform" in error and "such files are not read" in error


@pytest.mark.parametrize("name", ["audio_name", "target"])
def test_names_and_labels_in_another_file_are_never_read(name, balanced, tmp_path):
    secret = tmp_path / "secret.h5"
    write_panns(secret)
    write_panns(balanced)
    with h5py.File(balanced, "a") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(secret), name)
    assert f"{name} is a link to" in all_of(balanced)


@pytest.mark.slow
def test_an_hdf5_reader_that_does_not_end_fails_its_row_alone(balanced, monkeypatch):
    write_panns(balanced)
    program = hdf5_process.PROGRAM.replace(
        "process.answer(**asked)",
        "own = process.read_row; process.read_row = lambda sets, row, classes: "
        "__import__('time').sleep(99) if row == 2 else own(sets, row, classes); "
        "process.answer(**asked)",
    )
    monkeypatch.setattr(hdf5_process, "PROGRAM", program)
    monkeypatch.setattr(hdf5_process, "PATIENCE", 15.0)
    found = all_of(balanced)
    assert [isinstance(one, Failure) for one in found] == [False, False, True, False, False, False]
    assert "HDF5 found no end of it" in found[2].reason


@pytest.mark.slow
def test_a_damaged_parquet_file_fails_clip_by_clip(parquet):
    table = pa.Table.from_pylist([clip(i) for i in range(6)])
    pq.write_table(table, parquet)
    good, tried = parquet.read_bytes(), 80
    for seed in range(tried):
        parquet.write_bytes(damaged(good, seed))
        found = all_of(parquet.parent.parent)
        assert isinstance(found, str) or len(found) <= 6, seed


@pytest.mark.parametrize("column", ["audio", "labels", "video_id"])
def test_a_clip_without_a_value_fails_alone(column, parquet, tmp_path):
    rows = [clip(i) for i in range(3)]
    rows[1][column] = None
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    for classes in ((), ("Speech", "Music", "Dog", "Cat")):
        source = open_audioset(tmp_path, classes=classes)
        found = list(source.recordings(0, len(source)))
        assert sum(isinstance(one, Failure) for one in found) == (not classes or column != "labels")
    out = prepare(open_audioset(tmp_path), tmp_path / "out", RATE)
    assert len(rows_of(out)) == 2 and f"has no {column}" in failures_of(out)[0]["reason"]


@pytest.mark.slow
def test_a_damaged_data_set_is_named(three):
    for name in FILES:
        path, tried = three / name, 100
        good = path.read_bytes()
        for seed in range(tried):
            path.write_bytes(damaged(good, seed))
            for use in (read_all, lambda folder: list(verify(folder))):
                try:
                    use(three)
                except AudioTagError as error:
                    assert len(str(error)) < 1500, (name, seed)
        path.write_bytes(good)
    read_all(three)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("key", None),
        ("shard", None),
        ("shard", "../../secret.tar"),
        ("shard", "/etc/passwd"),
        ("offset", None),
        ("offset", -1),
        ("length", 2**60),
        ("length", 0),
        ("duration", math.nan),
        ("duration", -1.0),
        ("duration", 1e300),
        ("split", None),
        ("fold", 2**62),
        ("labels", None),
        ("labels", ["a", None]),
    ],
)
def test_values_that_no_clip_has_are_damage(column, value, three):
    table = pq.read_table(three / "index.parquet")
    values = [value, *table[column].to_pylist()[1:]]
    index = table.schema.get_field_index(column)
    changed = table.set_column(index, column, pa.array(values, table.schema.field(column).type))
    pq.write_table(changed, three / "index.parquet")
    with pytest.raises(DataError, match=r"index.parquet is damaged \("):
        read_all(three)
    if column in ("key", "shard", "offset", "length", "split", "labels"):
        with pytest.raises(DataError, match="damaged"):
            list(verify(three))


def test_columns_of_other_types_are_damage(three):
    table = pq.read_table(three / "index.parquet")
    text = pa.array(["x"] * len(table))
    for name in table.column_names:
        if name in ("key", "shard", "sha256", "split"):
            text = pa.array([[1]] * len(table))
        changed = table.set_column(table.schema.get_field_index(name), name, text)
        pq.write_table(changed, three / "index.parquet")
        with pytest.raises(DataError, match="damaged"):
            read_all(three)
            list(verify(three))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[]", "7", "null", '{"sample_rate": 1e400}', '{"sample_rate": true}']
    + ['{"sample_rate": 8000, "splits": [3]}', '{"sample_rate": 8000, "clips": "many"}']
    + ['{"sample_rate": 8000, "failures": {"a": "b"}}', '{"sample_rate": -1}', "9" * 5000],
)
def test_a_dataset_json_of_another_shape_is_damage(text, three):
    (three / "dataset.json").write_text(text)
    with pytest.raises(DataError, match="dataset.json is damaged"):
        read_all(three)
    assert next(verify(three)).damages


@pytest.mark.parametrize("names", ["[" * 100_000, "{}", '["a", 3]', '["a", "a"]', '["a\\nb"]', "7"])
def test_labels_of_another_shape_are_damage(names, three):
    (three / "labels.json").write_text(names)
    for read in (read_labels, summarise):
        with pytest.raises(DataError, match="labels.json is damaged"):
            read(three)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,x,1" + "0" * 22 + ",", "row 2: fold '10000.*is not a whole number"),
        ("a.wav,x,1" + "0" * 5000 + ",", "row 2: fold '10000.*is not a whole number"),
        ("a.wav,x,1,1e300", "row 2: start '1e300' is not a number of seconds"),
        ("a.wav,x,1,nan", "row 2: start 'nan' is not a number of seconds"),
    ],
)
def test_a_table_with_numbers_that_nothing_has_is_refused(row, message, tmp_path):
    (tmp_path / "t.csv").write_text(f"path,label,fold,start\n{row}\n")
    with pytest.raises(DataError, match=message):
        CsvSource(tmp_path / "t.csv")


def test_paths_that_no_file_has_fail_alone(tmp_path):
    rows = ["a" * 5000, "b/" * 2000 + "c.wav", "missing.wav"]
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{x},cat\n" for x in rows))
    out = prepare(CsvSource(tmp_path / "t.csv"), tmp_path / "out", RATE)
    assert [x["kind"] for x in failures_of(out)] == ["missing"] * 3
    assert json.loads((out / "dataset.json").read_text())["clips"] == 0


def test_a_label_with_control_characters_is_escaped_where_it_is_prepared(tmp_path):
    made = recording(0)
    made = type(made)(made.name, made.audio, ("cat\x1b[2J\n",))
    out = prepare(ListSource([made]), tmp_path / "data", RATE)
    assert read_labels(out) == Labels(["cat\\x1b[2J\\n"])
