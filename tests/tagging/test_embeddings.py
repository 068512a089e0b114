"""Embedding files, read back by numpy and pyarrow; those of runs that ended early too."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audiotag.errors import DataError, OutputError
from audiotag.tagging import embeddings_npz, embeddings_parquet
from audiotag.tagging.embeddings import check_output, embedding_file
from audiotag.tagging.provenance import Provenance
from audiotag.tagging.results import FileEmbedding

VALUES = {"audiotag": "1.0", "model": "default", "weights_sha256": "0a", "window": 10.0}
MADE = Provenance({**VALUES, "precision": "fp32"})
NAMES = ("x.npz", "x.parquet")


def embedding(path: str, count: int) -> FileEmbedding:
    random = np.random.default_rng(count)
    windows = random.standard_normal((count, 5)).astype(np.float32)
    return FileEmbedding(path, 10.0 * count, windows.mean(0), windows, 10.0 * np.arange(count))


NOT_UNICODE = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
GOOD = [embedding("a é.wav", 1), embedding("b/a.wav", 4), embedding(NOT_UNICODE, 2)]
BAD = FileEmbedding("bad.mp3", None, error="no audio")


def write(path: Path, results, resume: bool = False, made: Provenance = MADE) -> None:
    """Write what an output does not have yet."""
    with embedding_file(path, made, resume) as out:
        for result in results:
            if not out.has(Path(result.path)):
                out.write(result)


def read(path: Path) -> dict[str, FileEmbedding]:
    """What an output holds, by path, in its order."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        assert len({row["path"] for row in rows}) == len(rows)
        return {row["path"]: _of_row(row) for row in rows}
    with np.load(path, allow_pickle=False) as arrays:
        found = {}
        for number, name in enumerate(arrays["paths"].tolist()):
            mine = arrays["window_files"] == number
            windows, starts = arrays["windows"][mine], arrays["window_starts"][mine]
            duration, clip = float(arrays["durations"][number]), arrays["clips"][number]
            found[name] = FileEmbedding(name, duration, clip, windows, starts)
        assert len(found) == len(arrays["paths"]) == len(arrays["clips"])
        failed = zip(arrays["failed_paths"].tolist(), arrays["failed_errors"].tolist(), strict=True)
        return found | {name: FileEmbedding(name, None, error=error) for name, error in failed}


def _of_row(row: dict) -> FileEmbedding:
    if row["error"] is not None:
        return FileEmbedding(row["path"], None, error=row["error"])
    arrays = [np.array(row[name]) for name in ("clip", "windows", "window_starts")]
    return FileEmbedding(row["path"], row["duration"], *arrays)


def check_holds(path: Path, results) -> None:
    """Check that an output holds these results, each once, and nothing else lies beside it."""
    found = read(path)
    assert found.keys() == {result.path for result in results}
    for result in results:
        one = found[result.path]
        assert (one.duration, one.error) == (result.duration, result.error)
        if result.error is None:
            np.testing.assert_array_equal(np.float32(one.clip), result.clip)
            np.testing.assert_array_equal(np.float32(one.windows), result.windows)
            np.testing.assert_array_equal(one.starts, result.starts)
    assert os.listdir(path.parent) == [path.name]


@contextmanager
def full_disk(size: int):
    """A limit on the size of files stands for a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


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


@pytest.mark.parametrize("name", NAMES)
def test_no_file_could_be_embedded(tmp_path, name):
    write(tmp_path / name, [BAD])
    if name == "x.npz":
        with np.load(tmp_path / name) as arrays:
            assert len(arrays["paths"]) == 0 and len(arrays["failed_paths"]) == 1
    else:
        assert pq.read_table(tmp_path / name).num_rows == 1


def ended(results, error):
    """Results, and then an error."""
    yield from results
    raise error


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_writes_what_is_done(tmp_path, name):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, ended([], KeyboardInterrupt()))
    assert not os.listdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, ended([MORE[0], BAD], KeyboardInterrupt()))
    check_holds(tmp_path / name, [MORE[0], BAD])


MORE = [embedding("a.wav", 1), embedding("b/a.wav", 4), embedding("c.wav", 2)]


@pytest.mark.parametrize("name", NAMES)
def test_a_crash_keeps_what_is_done_to_go_on_from(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ZeroDivisionError):
        write(path, ended([], ZeroDivisionError()))
    assert not os.listdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        write(path, ended([MORE[0], BAD], ZeroDivisionError()))
    assert os.listdir(tmp_path) == [f"{name}.unfinished"]
    with pytest.raises(ValueError, match="add --resume to resume it"):
        check_output(path)
    with pytest.raises(ZeroDivisionError):
        write(path, ended([*MORE[:2]], ZeroDivisionError()), resume=True)
    write(path, MORE, resume=True)
    check_holds(path, [*MORE, BAD])


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_output_is_added_to(tmp_path, monkeypatch, name):
    monkeypatch.setattr(embeddings_npz, "TEXTS_AT_ONCE", 2)
    monkeypatch.setattr(embeddings_parquet, "ROWS_PER_GROUP", 2)
    path, worse = tmp_path / name, FileEmbedding("worse.mp3", None, error="no audio either")
    write(path, [BAD, MORE[0], worse])
    again = replace(worse, error="still none")
    write(path, [again, *MORE[:2]], resume=True)
    check_holds(path, [BAD, *MORE[:2], again])  # what was not tried again stays as it was
    mended = replace(MORE[1], path=BAD.path)
    write(path, [*MORE, mended], resume=True)
    check_holds(path, [*MORE, mended, again])
    before = path.stat().st_mtime_ns
    write(path, MORE, resume=True)
    assert path.stat().st_mtime_ns == before  # there was nothing to add


@pytest.mark.parametrize("name", NAMES)
def test_an_output_without_any_recording_is_added_to(tmp_path, name):
    write(tmp_path / name, [BAD])
    write(tmp_path / name, MORE, resume=True)
    check_holds(tmp_path / name, [BAD, *MORE])


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_known_by_any_of_its_paths(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("b").mkdir()
    Path("link").symlink_to("b")
    not_unicode = replace(MORE[2], path=NOT_UNICODE)
    write(tmp_path / name, [*MORE, not_unicode])
    spelled = ["./a.wav", "b/../a.wav", str(tmp_path / "a.wav"), "link/a.wav", f"./{NOT_UNICODE}"]
    for path in spelled:
        with embedding_file(tmp_path / name, MADE, resume=True) as out:
            assert out.has(Path(path)), path
            assert not out.has(Path(path))  # one recording is of one file
            assert not out.has(Path("b/b.wav"))


@pytest.mark.parametrize("name", NAMES)
def test_from_another_folder_names_are_still_those_from_the_first(tmp_path, monkeypatch, name):
    (tmp_path / "b").mkdir()
    first, second = (
        Provenance(MADE.values | {"folder": str(x)}) for x in (tmp_path, tmp_path / "b")
    )
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out" / name
    write(path, [MORE[0], BAD], made=first)
    monkeypatch.chdir("b")
    here = [replace(MORE[0], path="../a.wav"), replace(MORE[1], path="a.wav")]
    with pytest.raises(ZeroDivisionError):
        write(path, ended(here, ZeroDivisionError()), resume=True, made=second)
    write(path, [*here, replace(MORE[2], path="../bad.mp3")], resume=True, made=second)
    check_holds(path, [*MORE[:2], replace(MORE[2], path="bad.mp3")])


@pytest.mark.parametrize("name", NAMES)
def test_what_was_made_otherwise_is_not_mixed(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ZeroDivisionError):
        write(path, ended(MORE[:1], ZeroDivisionError()))
    for _ in ("the store", "the output"):
        for change in ({"window": 5.0}, {"weights_sha256": "0b"}, {"precision": "bf16"}):
            with pytest.raises(DataError, match="made with (window 10.0, now 5|other w|prec)"):
                write(path, MORE, resume=True, made=Provenance(MADE.values | change))
        named = Provenance(MADE.values | {"model": "as it is called now"})
        write(path, MORE, resume=True, made=named)
    check_holds(path, MORE)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_ours_is_not_added_to(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="cannot be resumed"):
        write(path, MORE, resume=True)
    if name == "x.npz":
        np.savez(path, paths=["a.wav"])
    else:
        pq.write_table(pa.table({"path": ["a.wav"]}), path)
    with pytest.raises(DataError, match="cannot be resumed"):
        write(path, MORE, resume=True)
    assert os.listdir(tmp_path) == [name]


def test_a_store_that_ends_anywhere_gives_whole_recordings(tmp_path):
    path, store = tmp_path / "x.npz", tmp_path / "x.npz.unfinished"
    with pytest.raises(ZeroDivisionError):
        write(path, ended([MORE[0], BAD, *MORE[1:]], ZeroDivisionError()))
    whole = store.read_bytes()
    for size in range(len(whole) + 1):
        store.write_bytes(whole[:size])
        with embedding_file(path, MADE, resume=True) as out:
            done = [out.has(Path(one.path)) for one in MORE]
            count = sum(done)
            assert done == sorted(done, reverse=True) and (count == 3) == (size == len(whole))
            for one in MORE[count:]:
                out.write(one)
        found = [one.path for one in read(path).values()]
        assert [x for x in found if x != BAD.path] == [one.path for one in MORE], size
        path.unlink()
    assert not os.listdir(tmp_path)


def test_a_damaged_store_gives_what_is_before_the_damage(tmp_path):
    path, store = tmp_path / "x.npz", tmp_path / "x.npz.unfinished"
    with pytest.raises(ZeroDivisionError):
        write(path, ended(MORE, ZeroDivisionError()))
    whole = bytearray(store.read_bytes())
    whole[-1] ^= 1
    store.write_bytes(whole)
    with embedding_file(path, MADE, resume=True) as out:
        assert [out.has(Path(one.path)) for one in MORE] == [True, True, False]
        out.write(MORE[2])
    check_holds(path, MORE)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_loses_nothing(tmp_path, name):
    path, held = tmp_path / name, 0
    write(path, MORE[:1])
    old = path.read_bytes()
    for size in range(0, 20_000, 400):
        with full_disk(size):
            try:
                write(path, MORE, resume=True)
                break
            except OutputError as error:
                assert str(error).startswith(
                    f"{path} cannot be written (File too large); make room"
                )
        assert path.read_bytes() == old
        assert set(os.listdir(tmp_path)) <= {name, f"{name}.unfinished"}
        held += 1
    assert held > 1
    check_holds(path, MORE)


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    path = tmp_path / f"{'x' * 251}.npz"
    with pytest.raises(ZeroDivisionError):
        write(path, ended(MORE[:1], ZeroDivisionError()))
    write(path, MORE, resume=True)
    check_holds(path, MORE)


OTHER = """
import sys
from pathlib import Path
from audiotag.tagging.embeddings import embedding_file
from audiotag.tagging.provenance import Provenance
with embedding_file(Path(sys.argv[1]), Provenance({})):
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_do_not_write_the_same_output(tmp_path):
    path, link = tmp_path / "x.npz", tmp_path / "link.npz"
    link.symlink_to(path)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OTHER, path], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        for name in (path, link):
            with pytest.raises(OutputError, match="another process is writing it"):
                write(name, MORE, resume=True)
        other.kill()
    write(link, MORE)
    assert read(path).keys() == {one.path for one in MORE}


def test_debris_of_killed_runs_is_swept(tmp_path):
    for folder, name in ((".audiotag-1", "windows"), (".audiotag-2", "another's")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    write(tmp_path / "x.npz", MORE)
    assert sorted(os.listdir(tmp_path)) == [".audiotag-2", "x.npz"]


def test_output_names_are_checked(tmp_path):
    (tmp_path / "x.npz").touch()
    with pytest.raises(ValueError, match="exists"):
        check_output(tmp_path / "x.npz")
    check_output(tmp_path / "x.npz", resume=True)
    with pytest.raises(ValueError, match=r"\.npz or \.parquet"):
        check_output(tmp_path / "x.csv")
