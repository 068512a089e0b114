"""Recordings out of folders and tables."""

import json
import os
import tarfile

import pytest

from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.data.sources.folder import FolderSource
from audiotag.errors import DataError
from tests.support.made_recordings import failures_of, rows_of


def test_table_with_times_labels_and_splits(tmp_path, make_wav):
    make_wav(tmp_path / "low" / "a.wav", 1.0)
    make_wav(tmp_path / "high" / "long.wav", 5.0, frequency=2000)
    table = tmp_path / "clips.csv"
    table.write_text(
        "path,label,split,fold,start,end\n"
        "high/long.wav,x; y,test,3,2.5,4\n"
        "low/a.wav,,train,,,\n"
        "low/gone.wav,x,train,,,\n"
        "low/a.wav,x,train,,30,\n"
    )
    out = prepare(CsvSource(table), tmp_path / "data")
    (row,) = [r for r in rows_of(out) if r["split"] == "test"]
    assert row["labels"] == ["x", "y"] and row["fold"] == 3
    assert row["duration"] == pytest.approx(1.5, abs=1e-3)
    with tarfile.open(out / "shards" / row["shard"]) as tar:
        about = json.load(tar.extractfile(f"{row['key']}.json"))
    assert about["start"] == 2.5 and about["end"] == 4 and about["source"] == "high/long.wav"
    labels = read_labels(out)
    assert ClipDataset(out, "test").targets(labels).dense().tolist() == [[1, 1]]
    assert ClipDataset(out, "train").targets(labels).dense().tolist() == [[0, 0]]
    gone, late = failures_of(out)
    assert (gone["source"], gone["kind"]) == ("low/gone.wav", "missing")
    assert (late["source"], late["kind"]) == ("low/a.wav", "empty")


def test_rows_of_one_recording_are_joined_however_its_path_is_spelled(tmp_path, make_wav):
    make_wav(tmp_path / "in" / "a.wav", 1.0)
    make_wav(tmp_path / "b.wav", 1.0, frequency=900)
    table = tmp_path / "long.csv"
    table.write_text(
        "path,label,fold,end\n"
        f"in/a.wav,dog,1.0,\nb.wav,cat,2,\n./in/../in/a.wav,bark;dog,1,\n{tmp_path}/in/a.wav,,1,\n"
        "in/a.wav,start,1,0.5\nb.wav,cat,2,\n"
    )
    source = CsvSource(table)
    assert len(source) == 3
    assert [x.name for x in source.recordings(1, 3)] == ["b.wav", "in/a.wav"]
    rows = rows_of(prepare(source, tmp_path / "data"))
    assert [(row["labels"], row["fold"]) for row in rows] == [
        (["dog", "bark"], 1),
        (["cat"], 2),
        (["start"], 1),
    ]
    splits = {recording.group for recording in source.recordings(0, 3)}
    assert splits == {"in/a.wav", "b.wav"}


def test_one_word_in_two_unicode_forms_is_one_class(tmp_path, make_wav):
    make_wav(tmp_path / "a.wav")
    make_wav(tmp_path / "b.wav", frequency=700)
    (tmp_path / "t.csv").write_text("path,label\na.wav,caf\u00e9\nb.wav,cafe\u0301\n")
    out = prepare(CsvSource(tmp_path / "t.csv"), tmp_path / "data")
    assert [label.name for label in read_labels(out)] == ["caf\u00e9"]


def test_split_by_hash_keeps_a_group_together(tmp_path, make_wav):
    lines = ["path,label,group"]
    for i in range(60):
        make_wav(tmp_path / f"{i}.wav", 0.1, frequency=100 + 7 * i)
        lines.append(f"{i}.wav,x,{i // 3}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    out = prepare(CsvSource(tmp_path / "t.csv"), tmp_path / "data")
    splits = [row["split"] for row in rows_of(out)]
    assert set(splits) == {"train", "valid"}
    assert all(len(set(splits[i : i + 3])) == 1 for i in range(0, 60, 3))


def test_wrong_sources_are_named(tmp_path, make_wav):
    make_wav(tmp_path / "flat" / "a.wav")
    with pytest.raises(DataError, match="make one for each class"):
        FolderSource(tmp_path / "flat")


def test_folders_called_as_splits_are_splits(tmp_path, make_wav):
    for number, place in enumerate(["Train/dog", "Train/cat/deep", "val/dog", "evaluation/cat"]):
        make_wav(tmp_path / "sounds" / place / "a.wav", frequency=200 + 100 * number)
    make_wav(tmp_path / "sounds" / "val" / "loose.wav", frequency=900)
    source = FolderSource(tmp_path / "sounds")
    assert source.splits == {"Train": "train", "val": "valid", "evaluation": "eval"}
    out = prepare(source, tmp_path / "data")
    assert sorted((row["split"], *row["labels"]) for row in rows_of(out)) == [
        ("eval", "cat"),
        ("train", "cat"),
        ("train", "dog"),
        ("valid", "dog"),
    ]
    assert [x["source"] for x in failures_of(out)] == ["val/loose.wav"]
    make_wav(tmp_path / "sounds" / "bird" / "a.wav", frequency=1200)  # so none of them is a split
    mixed = FolderSource(tmp_path / "sounds")
    labels = {x.labels for x in mixed.recordings(0, 6)}
    assert labels == {("Train",), ("bird",), ("evaluation",), ("val",)}
    (note,) = mixed.notes
    assert note.startswith("the folders Train, evaluation, val are taken for classes, as bird")


@pytest.mark.parametrize(
    "places", [["dog/train", "cat/test"], ["all/train/dog", "all/test/cat/deep"]]
)
def test_splits_are_found_below_classes_and_below_one_folder(tmp_path, make_wav, places):
    for place in places:
        make_wav(tmp_path / place / "a.wav")
    found = [(x.split, x.labels) for x in FolderSource(tmp_path).recordings(0, 2)]
    assert sorted(found) == [("test", ("cat",)), ("train", ("dog",))]


def test_a_tables_splits_are_those_of_other_sources(tmp_path, make_wav):
    names = ["training", "Validation", "dev", "TEST", "fold3", ""]
    rows = [f"{i}.wav,x,{name}" for i, name in enumerate(names)]
    table = tmp_path / "clips.csv"
    table.write_text("\n".join(["path,label,split", *rows]), encoding="utf-16")
    source = CsvSource(table)
    found = [x.split for x in source.recordings(0, 6)]
    assert found == ["train", "valid", "valid", "test", "fold3", None]
    assert source.notes == (
        "split train: training",
        "split valid: Validation, dev",
        "split test: TEST",
    )


def test_splits_without_classes_are_named(tmp_path, make_wav):
    make_wav(tmp_path / "train" / "a.wav")
    make_wav(tmp_path / "test" / "b.wav")
    with pytest.raises(DataError, match="test, train are taken for splits"):
        FolderSource(tmp_path)


def test_file_names_that_are_no_text(tmp_path, make_wav):
    folder = tmp_path / "sounds" / os.fsdecode(b"caf\xe9")
    folder.mkdir(parents=True)
    make_wav(tmp_path / "a.wav").rename(folder / "a.wav")
    make_wav(tmp_path / "b.wav", frequency=300).rename(folder / os.fsdecode(b"\xff: b.wav"))
    (folder / os.fsdecode(b"\xfe.wav")).touch()
    (tmp_path / "sounds" / os.fsdecode(b"\xfd.wav")).touch()
    out = prepare(FolderSource(tmp_path / "sounds"), tmp_path / "data")
    assert [row["labels"] for row in rows_of(out)] == [[r"caf\udce9"]] * 2
    assert [(x["source"], x["reason"]) for x in failures_of(out)][0] == (
        r"caf\udce9/\udcfe.wav",
        "the file is empty",
    )
    assert failures_of(out)[1]["source"] == r"\udcfd.wav"


@pytest.mark.parametrize(
    "text,message",
    [
        ("file,class\na.wav,x\n", "lacks the column path and label"),
        ("path,label,fold\na.wav,x,1\na.wav,x,one\n", "row 3: fold 'one' is not a whole number"),
        ("path,label,start\na.wav,x,-1\n", "row 2: start '-1' is not a number of seconds"),
        ("path,label,end\na.wav,x,inf\n", "row 2: end 'inf' is not a number of seconds"),
        ("path,label,start,end\na.wav,x,2,2\n", "row 2: end 2 is not after start 2"),
        ("path,label\n,x\n", "row 2: path is empty"),
        ("path,label\n", "lists no recordings"),
        ("path,label\n\xff,x\n".encode("latin-1"), "save it as UTF-8"),
        ("path,label\na.wav,x,y\n", "row 2: it has more values than columns"),
        ("path,label,label\na.wav,x,y\n", "several columns label"),
        ("path,label,fold\na.wav,x,1.5\n", "row 2: fold '1.5' is not a whole number"),
        ("path,label,fold\na.wav,x,1e22\n", "row 2: fold '1e22' is not a whole number"),
        ("path,label,split\na.wav,x,train\n./a.wav,y,valid\n", "row 3: split is valid, but train"),
    ],
)
def test_wrong_tables_are_named(tmp_path, text, message):
    table = tmp_path / "t.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match="t.csv.*" + message):
        CsvSource(table)


def test_esc10_by_its_table(test_data, tmp_path):
    table = test_data / "esc10" / "esc10.csv"
    out = prepare(CsvSource(table), tmp_path / "data", limit=12)
    rows = rows_of(out)
    assert {row["labels"][0] for row in rows} == {"dog"} and len(rows) == 12
    assert all(row["duration"] == pytest.approx(5, abs=0.02) for row in rows)
    assert os.listdir(out / "shards") == ["0000-000000.tar"]
