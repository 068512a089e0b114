"""Data sets as the library datasets writes them: parquet and Arrow files with audio in them."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from audiotag.data.sources.datasets.open import open_dataset
from audiotag.errors import DataError
from tests.support.made_recordings import noise

RATE = 8000  # Hz
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CLASSES = ["dog", "rain", "sea waves"]
CLASS_LABEL = {"names": CLASSES, "_type": "ClassLabel"}
VALUE = {"dtype": "string", "_type": "Value"}


def flac(number):
    file = io.BytesIO()
    soundfile.write(file, noise(number), RATE, format="FLAC")
    return file.getvalue()


def audio(number):
    return {"bytes": flac(number), "path": f"{number}.flac"}


def table(columns, types, features=None):
    """A table with audio in as many rows as the other columns have; `features` are what datasets
    knows of the columns' types."""
    count = len(next(iter(columns.values())))
    schema = pa.schema([("audio", AUDIO), *types.items()])
    if features is not None:
        about = {"info": {"features": {"audio": {"_type": "Audio"}, **features}}}
        schema = schema.with_metadata({"huggingface": json.dumps(about)})
    return pa.table({"audio": [audio(i) for i in range(count)], **columns}, schema=schema)


def write(path, written):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(written, path, row_group_size=2)


def read_all(source):
    return list(source.recordings(0, len(source)))


def labels(folder, **chosen):
    return [x.labels for x in read_all(open_dataset(folder, **chosen))]


def test_esc_50_as_the_hub_has_it(tmp_path):
    count = 10
    columns = {
        "filename": [f"1-{i}-A-0.wav" for i in range(count)],
        "fold": [i % 5 + 1 for i in range(count)],
        "target": [i % 3 for i in range(count)],
        "category": [CLASSES[i % 3].replace(" ", "_") for i in range(count)],
        "esc10": [True] * count,
        "src_file": list(range(count)),
    }
    types = {
        **{"filename": pa.string(), "fold": pa.int64(), "target": pa.int64()},
        **{"category": pa.string(), "esc10": pa.bool_(), "src_file": pa.int64()},
    }
    write(tmp_path / "data" / "train-00000-of-00001.parquet", table(columns, types))
    source = open_dataset(tmp_path)
    found = read_all(source)
    assert [x.labels for x in found[:3]] == [("dog",), ("rain",), ("sea_waves",)]
    assert [x.fold for x in found[:6]] == [1, 2, 3, 4, 5, 1]
    assert [x.split for x in found[:6]] == ["valid", *["train"] * 4, "valid"]
    assert found[3].group == "3" and source.labels is None
    assert found[4].audio.data == flac(4)
    assert any("column category" in x for x in source.notes)
    assert any("divided by the column fold" in x for x in source.notes)
    assert [x.name for x in source.recordings(3, 6)] == [x.name for x in found[3:6]]
    assert labels(tmp_path, label="target")[:3] == [("0",), ("1",), ("2",)]


NAMED = [("dog",), ("sea waves",), ()]


@pytest.mark.parametrize(
    ("name", "values", "type_", "feature", "expected"),
    [
        ("label", [0, 2, -1], pa.int64(), CLASS_LABEL, NAMED),
        ("label", [0, 2, None], pa.int64(), CLASS_LABEL, NAMED),
        ("labels", [[0], [2], []], pa.list_(pa.int64()), [CLASS_LABEL], NAMED),
        (
            *("labels", [[0], [2, 1], []], pa.list_(pa.int64())),
            {"feature": CLASS_LABEL, "_type": "Sequence"},
            [("dog",), ("sea waves", "rain"), ()],
        ),
        (
            *("tags", [["dog"], ["a", "b"], []], pa.list_(pa.string())),
            {"feature": VALUE, "_type": "List"},
            [("dog",), ("a", "b"), ()],
        ),
        ("label", ["dog", "a;b", ""], pa.string(), VALUE, [("dog",), ("a", "b"), ()]),
        ("kind", [0, 2, -1], pa.int8(), CLASS_LABEL, NAMED),  # the only column with named classes
        ("label", [7, 8, 9], pa.int64(), {"_type": "Value"}, [("7",), ("8",), ("9",)]),
    ],
)
def test_labels_of_every_kind(tmp_path, name, values, type_, feature, expected):
    write(tmp_path / "test.parquet", table({name: values}, {name: type_}, {name: feature}))
    source = open_dataset(tmp_path)
    assert [x.labels for x in read_all(source)] == expected
    has_names = "ClassLabel" in str(feature)
    assert source.labels == (tuple(CLASSES) if has_names else None)


def test_the_column_of_labels_can_be_said_and_must_be_clear(tmp_path):
    columns = {"species": ["a", "b"], "place": ["x", "y"]}
    types = {"species": pa.string(), "place": pa.string()}
    write(tmp_path / "train.parquet", table(columns, types))
    with pytest.raises(DataError, match="say with --label which .* of species, place"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="has no column x; it has audio, species, place"):
        open_dataset(tmp_path, label="x")
    assert labels(tmp_path, label="species") == [("a",), ("b",)]


def test_names_of_classes_are_read_from_the_card(tmp_path):
    write(tmp_path / "train.parquet", table({"label": [1, 0]}, {"label": pa.int64()}))
    (tmp_path / "README.md").write_text(
        "---\nlicense: mit\ndataset_info:\n  features:\n  - name: audio\n    dtype: audio\n"
        "  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': cat\n"
        "          '1': dog\n---\n# A set\n"
    )
    assert labels(tmp_path) == [("dog",), ("cat",)]


def test_configurations_are_chosen(tmp_path):
    for config, label in (("small", "a"), ("large", "b")):
        path = tmp_path / config / "train-00000-of-00001.parquet"
        write(path, table({"label": [label]}, {"label": pa.string()}))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n  - split: train\n"
        "    path: small/train-*\n- config_name: large\n  data_files: large/*\n---\n"
    )
    with pytest.raises(DataError, match="small, large; choose one with --config"):
        open_dataset(tmp_path)
    assert labels(tmp_path, config="large") == [("b",)]
    with pytest.raises(DataError, match="no configuration huge; it has small, large"):
        open_dataset(tmp_path, config="huge")


def test_splits_are_found_in_names(tmp_path):
    names = {
        "data/train-00000-of-00001.parquet": "train",
        "data/validation-00000-of-00001.parquet": "valid",
        "test/0000.parquet": "test",
        "other/0000.parquet": "train",
    }
    for name in names:
        write(tmp_path / name, table({"label": ["a"]}, {"label": pa.string()}))
    found = {x.name.rpartition("/")[0]: x.split for x in read_all(open_dataset(tmp_path))}
    assert found == names


def test_arrow_files_as_save_to_disk_writes_them(tmp_path):
    written = table({"label": [0, 2, 1]}, {"label": pa.int64()}, {"label": CLASS_LABEL})
    for name, opened in (("train", pa.ipc.new_stream), ("test", pa.ipc.new_file)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "data-00000-of-00001.arrow"
        with opened(str(path), written.schema) as writer:
            writer.write_table(written, max_chunksize=2)
    source = open_dataset(tmp_path)
    assert [(x.split, x.labels) for x in source.recordings(2, 5)] == [
        ("test", ("rain",)),
        ("train", ("dog",)),
        ("train", ("sea waves",)),
    ]


def test_audio_as_arrays_bytes_and_files_of_the_folder(tmp_path):
    parts = pa.struct([("array", pa.list_(pa.float64())), ("sampling_rate", pa.int64())])
    schema = pa.schema([("audio", parts), ("label", pa.string())])
    sound = {"array": noise(0).tolist(), "sampling_rate": RATE}
    write(tmp_path / "a" / "test.parquet", pa.table({"audio": [sound], "label": ["x"]}, schema))
    (clip,) = read_all(open_dataset(tmp_path / "a"))
    np.testing.assert_array_equal(clip.audio.read(RATE), noise(0))
    write(tmp_path / "b" / "test.parquet", pa.table({"audio": [flac(0)], "label": ["x"]}))
    (clip,) = read_all(open_dataset(tmp_path / "b"))
    assert clip.audio.data == flac(0)
    paths = ["clips/0.flac", "../0.flac", "/etc/passwd", None]
    rows = [{"bytes": None, "path": path} for path in paths]
    schema = pa.schema([("audio", AUDIO), ("label", pa.string())])
    write(tmp_path / "c" / "test.parquet", pa.table({"audio": rows, "label": ["x"] * 4}, schema))
    clip, *failures = read_all(open_dataset(tmp_path / "c"))
    assert clip.audio.path == tmp_path / "c" / "clips" / "0.flac"
    reasons = [x.reason for x in failures]
    assert "not in the data set's folder" in reasons[0] and "not in the data" in reasons[1]
    assert reasons[2] == "it has no audio"


def test_damage_and_wrong_values_cost_only_their_rows(tmp_path):
    values = {"label": [0, 5, 1]}
    write(tmp_path / "train.parquet", table(values, {"label": pa.int64()}, {"label": CLASS_LABEL}))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no more")
    found = read_all(open_dataset(tmp_path))
    assert [x.labels for x in (found[0], found[2])] == [("dog",), ("rain",)]
    assert (found[1].reason, found[1].kind) == ("its label 5 is none of the 3 classes", "class")
    assert found[3].reason == "cannot be opened; download it again"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("audio.zip", "has its recordings in archives .audio.zip.: download and unpack"),
        ("esc50.py", "is made by a program .esc50.py., which is never run"),
        ("notes.txt", "has no parquet or Arrow file with audio, and no audio files"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, words):
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path)
