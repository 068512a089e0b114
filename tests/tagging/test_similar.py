"""Search by example, beside scikit-learn's nearest neighbours on the same embeddings."""

import json
import shutil
import subprocess
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from sklearn.neighbors import NearestNeighbors

from audiotag.cli import cli
from audiotag.errors import AudioError, DataError
from audiotag.tagging.open import open_engine
from audiotag.tagging.similar import duplicates, embed_example, nearest
from audiotag.tagging.stored_embeddings import open_embeddings

SAMPLES = Path(str(files("audiotag") / "assets/samples"))


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """The sample recordings, in windows of 1 s, as npz and parquet."""
    folder = tmp_path_factory.mktemp("stored")
    for form in ("npz", "parquet"):
        how = ("--window", 1, "--hop", 0.5, "--output", folder / f"e.{form}")
        assert run("embed", SAMPLES, *how).exit_code == 0
    return folder


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_the_nearest_windows_are_scikit_learns(stored, form):
    found = open_embeddings(stored / f"e.{form}")
    engine = open_engine()
    example = embed_example(engine, found, SAMPLES / "guitar.mp3", 0.5, 1.5)
    with np.load(stored / "e.npz") as arrays:
        windows, owners = arrays["windows"], arrays["window_files"]
        starts, paths = arrays["window_starts"], arrays["paths"]
    distances, order = (
        NearestNeighbors(n_neighbors=8, metric="cosine").fit(windows).kneighbors(example)
    )
    best = nearest(found, example, 8)
    assert [x.similarity for x in best] == pytest.approx(1 - distances[0], abs=1e-5)
    expected = [(str(paths[owners[i]]), float(starts[i])) for i in order[0]]
    assert [(x.path, x.start) for x in best] == expected
    assert best[0].path.endswith("guitar.mp3") and best[0].start == 0.5
    assert best[0].similarity == pytest.approx(1.0, abs=1e-4)
    each = nearest(found, example, 20, each=True)
    assert len({x.path for x in each}) == len(each) == len(paths)
    by_file = [np.max(1 - cosine(example, windows[owners == i])) for i in range(len(paths))]
    assert [x.similarity for x in each] == pytest.approx(sorted(by_file, reverse=True), abs=1e-5)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return NearestNeighbors(n_neighbors=len(b), metric="cosine").fit(b).kneighbors(a)[0]


def test_blocks_of_any_size_give_the_same(stored, monkeypatch):
    engine, found = open_engine(), open_embeddings(stored / "e.npz")
    example = embed_example(engine, found, SAMPLES / "horse.flac")
    whole = nearest(found, example, 10)
    monkeypatch.setattr("audiotag.tagging.stored_embeddings.ROWS", 3)
    for one, other in zip(nearest(found, example, 10), whole, strict=True):
        assert (one.path, one.start, one.end) == (other.path, other.start, other.end)


def test_the_command_prints_what_is_near_and_where(stored, tmp_path):
    result = run("similar", SAMPLES / "cat.mp3", stored / "e.npz", "--each", "--top", 2)
    assert result.exit_code == 0 and "cat.mp3" in result.output.splitlines()[0]
    assert result.output.startswith("1.000  0:00.0 to 0:00.5  ")
    lines = run("similar", SAMPLES / "cat.mp3", stored / "e.npz", "--format", "jsonl").output
    first = json.loads(lines.splitlines()[0])
    assert set(first) == {"path", "start", "end", "similarity"} and first["similarity"] > 0.999
    header = run("similar", SAMPLES / "cat.mp3", stored / "e.npz", "--format", "csv").output
    assert header.splitlines()[0] == "path,start,end,similarity"


def test_recordings_that_are_almost_the_same_are_found(tmp_path):
    folder = tmp_path / "sounds"
    shutil.copytree(SAMPLES, folder)
    sound, rate = soundfile.read(folder / "horse.flac")
    soundfile.write(folder / "copy.ogg", 0.8 * sound, rate)
    assert run("embed", folder, "--output", tmp_path / "e.npz").exit_code == 0
    pairs = list(duplicates(open_embeddings(tmp_path / "e.npz"), 0.99))
    assert [{Path(a).name, Path(b).name} for a, b, _ in pairs] == [{"copy.ogg", "horse.flac"}]
    result = run("similar", tmp_path / "e.npz", "--duplicates", "--least", 0.99)
    assert result.exit_code == 0 and "copy.ogg" in result.output


def test_embeddings_of_another_model_are_refused(stored, tmp_path):
    with zipfile.ZipFile(stored / "e.npz") as old, zipfile.ZipFile(tmp_path / "e.npz", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "made_with.npy":
                made = json.loads(str(np.load(stored / "e.npz")["made_with"]))
                made["weights_sha256"] = "0" * 64
                with new.open(name, "w") as member:
                    np.save(member, np.array(json.dumps(made)))
                continue
            new.writestr(name, data)
    result = run("similar", SAMPLES / "cat.mp3", tmp_path / "e.npz")
    assert result.exit_code == 1
    assert "has other weights; name that model with --model" in str(result.exception)


@pytest.mark.parametrize("damage", ["cut", "text", "short", "empty zip"])
def test_other_files_are_refused_in_a_sentence(stored, tmp_path, damage):
    path = tmp_path / "x.npz"
    content = (stored / "e.npz").read_bytes()
    if damage == "empty zip":
        zipfile.ZipFile(path, "w").close()
    else:
        path.write_bytes({"cut": content[:2000], "text": b"text", "short": b""}[damage])
    with pytest.raises(DataError, match="holds no embeddings of audiotag"):
        open_embeddings(path)


def test_numbers_that_are_none_are_never_near(stored, tmp_path):
    with np.load(stored / "e.npz") as arrays:
        values = dict(arrays)
    values["windows"] = values["windows"].copy()
    values["windows"][::2] = np.nan
    np.savez(tmp_path / "e.npz", **values)
    found = open_embeddings(tmp_path / "e.npz")
    best = nearest(found, values["windows"][1:2], 5)
    assert best[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert all(np.isfinite(x.similarity) for x in best)
    opposite = nearest(found, -values["windows"][1:2], len(values["windows"]))
    assert len(opposite) == len(values["windows"]) // 2  # nor nearer than what is opposite


@pytest.mark.parametrize("change", ["beyond", "before", "fractions", "fewer recordings"])
def test_windows_of_no_recording_are_refused(stored, tmp_path, change):
    with np.load(stored / "e.npz") as arrays:
        values = dict(arrays)
    owners = values["window_files"]
    changed = {
        "beyond": {"window_files": owners + len(values["paths"])},
        "before": {"window_files": owners - 1},
        "fractions": {"window_files": owners + 0.5},
        "fewer recordings": {"durations": values["durations"][:1]},
    }[change]
    np.savez(tmp_path / "e.npz", **{**values, **changed})
    with pytest.raises(DataError, match="holds no embeddings of audiotag"):
        nearest(open_embeddings(tmp_path / "e.npz"), values["windows"][:1], 3)


def test_a_part_longer_than_can_be_heard_is_refused(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("audiotag.audio.excerpts.LONGEST", 2.0)
    monkeypatch.setattr("audiotag.tagging.similar.LONGEST", 2.0)
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "long.wav", 0.1 * rng.standard_normal(4 * 16_000), 16_000)
    found, engine = open_embeddings(stored / "e.npz"), open_engine()
    with pytest.raises(AudioError, match="may last 2 s; name its end by --end"):
        embed_example(engine, found, tmp_path / "long.wav", 1.0)
    assert len(embed_example(engine, found, tmp_path / "long.wav", 1.0, 3.0)) == 3
    assert len(embed_example(engine, found, tmp_path / "long.wav", 3.0)) == 1


@pytest.mark.parametrize("form", ["wav", "mkv"])
def test_a_part_is_of_the_channel_that_was_embedded(tmp_path, form):
    guitar, rate = soundfile.read(SAMPLES / "guitar.mp3", always_2d=True)
    rng = np.random.default_rng(0)
    both = np.stack([0.1 * rng.standard_normal(len(guitar)), guitar[:, 0]], axis=1)
    soundfile.write(tmp_path / "both.wav", both, rate)
    how = ("--channel", 2, "--window", 1, "--output", tmp_path / "e.npz")
    assert run("embed", tmp_path / "both.wav", *how).exit_code == 0
    if form == "mkv":
        command = ["ffmpeg", "-v", "error", "-i", "both.wav", "-c:a", "copy", "both.mkv"]
        subprocess.run(command, cwd=tmp_path, check=True)
    found = open_embeddings(tmp_path / "e.npz")
    example = embed_example(open_engine(), found, tmp_path / f"both.{form}", 1.0, 2.0)
    best = nearest(found, example, 1)[0]
    assert best.start == 1.0 and best.similarity == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("e.npz",), "give an EXAMPLE and EMBEDDINGS"),
        (("cat.mp3", "e.npz", "--duplicates"), "give an EXAMPLE and EMBEDDINGS"),
        (("cat.mp3", "e.npz", "--start", 2, "--end", 1), "--end 1 is not after --start 2"),
    ],
)
def test_wrong_usage_is_said(stored, words, message):
    places = {"e.npz": stored / "e.npz", "cat.mp3": SAMPLES / "cat.mp3"}
    result = run("similar", *(places.get(word, word) for word in words))
    assert result.exit_code == 2 and message in result.output
