"""Audio files with a metadata table beside them, or in a folder for each class."""

import json

import pytest
import soundfile

from audiotag.data.sources.datasets.open import open_dataset
from audiotag.errors import DataError
from tests.support.made_recordings import noise

RATE = 8000  # Hz


@pytest.fixture
def folder(tmp_path):
    for number, split in enumerate(("train", "train", "test")):
        path = tmp_path / split / "clips" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(number), RATE)
    return tmp_path


def found(folder, **chosen):
    source = open_dataset(folder, **chosen)
    return sorted(
        (x.name, x.split, x.labels) for x in source.recordings(0, len(source)) if hasattr(x, "key")
    )


EXPECTED = [
    ("test/clips/2.wav", "test", ("dog",)),
    ("train/clips/0.wav", "train", ("dog", "cat")),
    ("train/clips/1.wav", "train", ()),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_csv_for_all(folder, encoding):
    rows = ["file_name,label", *(f"{x[0]},{';'.join(x[2])}" for x in EXPECTED)]
    (folder / "metadata.csv").write_text("\r\n".join(rows), encoding=encoding)
    assert found(folder) == EXPECTED


def test_one_jsonl_for_each_split(folder):
    for name, split, labels in EXPECTED:
        row = {"file_name": name.partition("/")[2], "labels": list(labels), "n": 1}
        with (folder / split / "metadata.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    assert found(folder) == EXPECTED


def test_a_column_of_splits_and_folds(folder):
    rows = ["file_name,species,split,fold", "train/clips/0.wav,a,val,2", "train/clips/1.wav,b,,1.0"]
    (folder / "metadata.csv").write_text("\n".join(rows))
    source = open_dataset(folder, label="species")
    assert [(x.split, x.fold) for x in source.recordings(0, 2)] == [("valid", 2), ("train", 1)]
    assert source.notes[-2:] == (
        "labels are in the column species",
        "1 audio files are in no table, and left out",
    )


def test_files_outside_are_refused_and_tables_without_names_named(folder):
    (folder / "metadata.csv").write_text("file_name,label\n../../secret.wav,a\n")
    source = open_dataset(folder)
    (failure,) = source.recordings(0, 1)
    assert "is not in the data set's folder" in failure.reason
    (folder / "metadata.csv").write_text("id,label\n1,a\n")
    with pytest.raises(DataError, match="metadata.csv has no column file_name; it has id, label"):
        open_dataset(folder)


def test_folders_of_classes(folder):
    assert found(folder) == [(name, split, ("clips",)) for name, split, _ in EXPECTED]
