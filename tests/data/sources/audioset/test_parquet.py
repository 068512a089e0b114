"""AudioSet's parquet files, written small with the schema of the Hub data set."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.errors import DataError
from tests.support.audioset_parquet import NAMES, RATE, SCHEMA, clip
from tests.support.made_recordings import failures_of, rows_of


def test_clips_have_their_labels_and_splits(folder, tmp_path):
    rows = rows_of(prepare(open_audioset(folder), tmp_path / "data", RATE))
    assert [row["key"] for row in rows] == [f"-{number:09d}_" for number in range(45)]
    for number, row in enumerate(rows):
        assert tuple(row["labels"]) == NAMES[number % 3]
        assert row["split"] == ("train" if number < 40 else "eval")


def test_any_part_is_had_without_what_comes_before(folder):
    source = open_audioset(folder)
    keys = [x.key for x in source.recordings(0, 45)]
    for first, last in ((0, 1), (11, 13), (23, 45), (39, 41), (44, 45), (7, 7)):
        assert [x.key for x in source.recordings(first, last)] == keys[first:last]
    (folder / "data" / "bal_train" / "00.parquet").unlink()
    assert [x.key for x in source.recordings(41, 43)] == keys[41:43]


def test_subsets_and_classes(folder):
    assert len(open_audioset(folder, ["eval"])) == 5
    source = open_audioset(folder, classes=["Dog", "/m/09x0r"])
    assert [x.key for x in source.recordings(0, len(source))] == [
        f"-{number:09d}_" for number in range(45) if number % 3 < 2
    ]
    with pytest.raises(DataError, match="no files of unbalanced"):
        open_audioset(folder, ["unbalanced"])
    assert source.fingerprint != open_audioset(folder).fingerprint


def test_damage_costs_only_what_it_hits(folder, tmp_path):
    path = folder / "data" / "bal_train" / "00.parquet"
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    assert column.path_in_schema == "audio.bytes"
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 40] = bytes(40)  # the page's header
    path.write_bytes(data)
    (folder / "data" / "eval" / "00.parquet").write_bytes(b"PAR1 cut off")
    source = open_audioset(folder)
    assert len(source) == 41
    out = prepare(source, tmp_path / "data", RATE)
    kept = {row["key"] for row in rows_of(out)}
    assert kept == {f"-{number:09d}_" for number in range(40) if not 12 <= number < 24}
    failures = failures_of(out)
    assert [x["source"] for x in failures] == [
        *(f"data/bal_train/00.parquet, row {number}" for number in range(12, 24)),
        "data/eval/00.parquet",
    ]
    assert {x["kind"] for x in failures} == {"unreadable"}


def test_bad_sound_and_unknown_classes_are_failures(tmp_path):
    path = tmp_path / "copy" / "eval" / "00.parquet"
    path.parent.mkdir(parents=True)
    rows = [clip(0), clip(1, ["/m/0"]), clip(2) | {"audio": {"bytes": b"junk", "path": "x"}}]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    out = prepare(open_audioset(tmp_path / "copy"), tmp_path / "data", RATE)
    assert len(rows_of(out)) == 1
    assert [x["kind"] for x in failures_of(out)] == ["class", "unreadable"]


def test_files_lie_in_any_folder_and_other_tables_are_passed_over(folder, tmp_path):
    for old, new in (("bal_train", "first/train"), ("eval", "second/testing")):
        (tmp_path / "any" / new).mkdir(parents=True)
        (folder / "data" / old / "00.parquet").rename(tmp_path / "any" / new / "00.parquet")
    pq.write_table(pa.table({"video_id": ["x"]}), tmp_path / "any" / "metadata.parquet")
    source = open_audioset(tmp_path / "any")
    splits = [x.split for x in source.recordings(0, len(source))]
    assert splits == ["train"] * 40 + ["eval"] * 5
    assert source.notes[-1].startswith("metadata.parquet has no column audio and no column labels")
