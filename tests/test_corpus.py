"""The script beside the default recipe that builds its corpus: what it takes, cuts and refuses."""

import csv
import importlib.util
import io
import sys
import tarfile
import wave
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

RECIPE = Path(__file__).parents[1] / "recipes" / "default"


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    """The script as a module; its dataclasses need it in sys.modules."""
    spec = importlib.util.spec_from_file_location("default_corpus", RECIPE / "corpus.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def wav(seconds: float, value: int = 1) -> bytes:
    """A wav file of a constant value, 1000 Hz, 8 bits."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setparams((1, 1, 1000, 0, "NONE", ""))
        file.writeframes(bytes([value]) * round(seconds * 1000))
    return target.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive's bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def tarred(members: dict[str, bytes]) -> io.BytesIO:
    """A tar archive, as dpkg-deb gives a package's files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    target.seek(0)
    return target


def package(corpus: ModuleType, **changes: object) -> object:
    """A training package with room for an hour."""
    row = {"name": "p", "licence": "CC0", "minutes": 60.0, "split": "train", "note": "sounds"}
    return corpus.Package(**{**row, **changes})


def scan(corpus: ModuleType, members: dict[str, bytes], folder: Path) -> list:
    """Unpack a package with these files into `folder` and list its sounds."""
    with tarfile.open(fileobj=tarred(members), mode="r|") as archive:
        corpus.unpack(corpus.tar_sounds(archive, ""), folder)
    return corpus.scan(folder)


def test_finds_sounds_in_folders_and_in_archives_within_archives(corpus, tmp_path):
    inner = tarred({"kit/Snare.wav": wav(1, 2)}).getvalue()
    found = scan(
        corpus,
        {
            "./usr/share/a dog.wav": wav(1),
            "./usr/share/picture.png": b"not sound",
            "./usr/share/data.PK3": zipped({"sound/ü.wav": wav(1, 3), "readme.txt": b"text"}),
            "./usr/share/kit.h2drumkit": inner,
            "./usr/share/broken.ogg": b"not really ogg",
            "./usr/share/broken.zip": b"not really zip",
        },
        tmp_path / "p",
    )
    assert [(sound.path, sound.seconds) for sound in found] == [
        ("p/usr/share/a dog.wav", 1.0),
        ("p/usr/share/data.PK3/sound/ü.wav", 1.0),
        ("p/usr/share/kit.h2drumkit/kit/Snare.wav", 1.0),
    ]


def test_names_that_point_outside_are_not_written(corpus, tmp_path):
    data = zipped({"../../../../evil.wav": wav(1), "..\\evil.wav": wav(1), "good.wav": wav(1)})
    found = scan(corpus, {"./data.zip": data, "/evil.wav": wav(1)}, tmp_path / "a" / "b" / "p")
    assert [sound.path for sound in found] == ["p/data.zip/good.wav"]
    assert not list(tmp_path.rglob("*evil*"))


def test_a_broken_unpack_leaves_no_folder(corpus, tmp_path):
    def fail():
        yield "a.wav", wav(1)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        corpus.unpack(fail(), tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (9.9, [None]),
        (10.0, [None]),
        (12.0, [0.0]),
        (16.0, [0.0, 6.0]),
        (40.0, [0.0, 10.0, 20.0, 30.0]),
        (610.0, [0.0, 120.0, 240.0, 360.0, 480.0, 600.0]),
    ],
)
def test_long_tracks_are_cut_into_pieces_spread_over_them(corpus, seconds, starts):
    assert [clip.start for clip in corpus.cut(corpus.Sound("a", "d", seconds))] == starts


def test_duplicates_short_and_unwanted_sounds_are_dropped(corpus):
    sounds = [
        corpus.Sound("p/one.wav", "1", 5.0),
        corpus.Sound("p/same as one.wav", "1", 5.0),
        corpus.Sound("p/held out.wav", "2", 5.0),
        corpus.Sound("p/click.wav", "3", 0.2),
        corpus.Sound("p/kit/drum.wav", "4", 5.0),
    ]
    seen = {"2"}
    clips = corpus.select(package(corpus, without=("/kit/",)), sounds, seen)
    assert [clip.sound.digest for clip in clips] == ["1"]
    assert {"1", "2"} <= seen


def test_caps_take_a_piece_of_every_track_first(corpus):
    sounds = [corpus.Sound(f"p/{i}.ogg", str(i), 100.0) for i in range(6)]
    clips = corpus.select(package(corpus, minutes=1.0), sounds, set())
    assert [clip.sound.path for clip in clips] == [sound.path for sound in sounds]
    words = [corpus.Sound(f"p/{i}.ogg", str(i), 1.0) for i in range(1000)]
    assert len(corpus.select(package(corpus, note="speech: Latin"), words, set())) == 300


def test_builds_the_csv_from_what_is_unpacked_already(corpus, tmp_path, capsys):
    """With each package's index in place nothing is downloaded; a test package gives no clip."""
    header = ["path", "digest", "seconds"]
    (tmp_path / "index").mkdir()
    corpus.write_csv(
        tmp_path / "index" / "p.csv",
        header,
        [["p/a.wav", "1", "3.0"], ["p/b, c.ogg", "2", "12.0"], ["p/held out.wav", "3", "3.0"]],
    )
    corpus.write_csv(tmp_path / "index" / "t.csv", header, [["t/x.wav", "3", "3.0"]])
    packages = [package(corpus), package(corpus, name="t", split="test")]
    corpus.build(packages, tmp_path)
    with (tmp_path / "corpus.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "label", "split", "group", "start", "end"],
        ["audio/p/a.wav", "", "train", "p", "", ""],
        ["audio/p/b, c.ogg", "", "train", "p", "0.0", "10.0"],
    ]
    assert "p " in capsys.readouterr().out


def test_packages_table_is_sound(corpus):
    packages = corpus.read_packages(RECIPE / "packages.tsv")
    names = [p.name for p in packages]
    assert names == sorted(set(names))
    assert {p.split for p in packages} == {"train", "dev", "test"}
    assert all(p.licence and p.note for p in packages)
    held_out = {p.name for p in packages if p.split == "test"}
    assert {"scratch", "sonic-pi-samples", "tuxpaint-stamps-default"} <= held_out
