"""Embedding files, read back by numpy and pyarrow."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from audiotag.tagging import embeddings_parquet
from audiotag.tagging.embeddings import check_output, embedding_file
from audiotag.tagging.results import FileEmbedding


def embedding(path: str, count: int) -> FileEmbedding:
    random = np.random.default_rng(count)
    windows = random.standard_normal((count, 5)).astype(np.float32)
    return FileEmbedding(path, 10.0 * count, windows.mean(0), windows, 10.0 * np.arange(count))


NOT_UNICODE = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
GOOD = [embedding("a é.wav", 1), embedding("b/a.wav", 4), embedding(NOT_UNICODE, 2)]
BAD = FileEmbedding("bad.mp3", None, error="no audio")


def write(path: Path, results) -> None:
    with embedding_file(path) as out:
        for result in results:
            out.write(result)


def test_npz_holds_clips_and_windows(tmp_path):
    write(tmp_path / "x.npz", [GOOD[0], BAD, *GOOD[1:]])
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert arrays["paths"].tolist() == [one.path for one in GOOD]
        np.testing.assert_array_equal(arrays["durations"], [10, 40, 20])
        np.testing.assert_array_equal(arrays["clips"], [one.clip for one in GOOD])
        for i, one in enumerate(GOOD):
            mine = arrays["window_files"] == i
            np.testing.assert_array_equal(arrays["windows"][mine], one.windows)
            np.testing.assert_array_equal(arrays["window_starts"][mine], one.starts)
        assert arrays["clips"].dtype == np.float32
        assert arrays["failed_paths"].tolist() == ["bad.mp3"]
        assert arrays["failed_errors"].tolist() == ["no audio"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_parquet_has_a_row_for_each_file(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings_parquet, "ROWS_PER_GROUP", 3)
    write(tmp_path / "x.parquet", [GOOD[0], BAD, *GOOD[1:]])
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["path"] for row in rows] == ["a é.wav", "bad.mp3", "b/a.wav", r"caf\xe9.wav"]
    assert rows[1]["error"] == "no audio" and rows[1]["clip"] is None
    for row, one in zip([rows[0], *rows[2:]], GOOD, strict=True):
        assert row["error"] is None and row["duration"] == one.duration
        np.testing.assert_array_equal(np.float32(row["clip"]), one.clip)
        np.testing.assert_array_equal(np.float32(row["windows"]), one.windows)
        np.testing.assert_array_equal(row["window_starts"], one.starts)


@pytest.mark.parametrize("name", ["x.npz", "x.parquet"])
def test_no_file_could_be_embedded(tmp_path, name):
    write(tmp_path / name, [BAD])
    if name == "x.npz":
        with np.load(tmp_path / name) as arrays:
            assert len(arrays["paths"]) == 0 and len(arrays["failed_paths"]) == 1
    else:
        assert pq.read_table(tmp_path / name).num_rows == 1


@pytest.mark.parametrize("name", ["x.npz", "x.parquet"])
def test_interrupted_keeps_what_is_done_and_a_crash_nothing(tmp_path, name):
    def ended(error):
        yield GOOD[0]
        raise error

    with pytest.raises(ZeroDivisionError):
        write(tmp_path / name, ended(ZeroDivisionError()))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, ended(KeyboardInterrupt()))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_output_names_are_checked(tmp_path):
    (tmp_path / "x.npz").touch()
    with pytest.raises(ValueError, match="exists"):
        check_output(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"\.npz or \.parquet"):
        check_output(tmp_path / "x.csv")
