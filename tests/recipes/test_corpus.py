"""The script beside the default recipe that builds its corpus: what it takes, cuts and refuses."""

import csv
import importlib.util
import io
import subprocess
import sys
import tarfile
import wave
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from audiotag.label_set import Labels

RECIPE = Path(__file__).parents[2] / "recipes" / "default"


def script(name: str) -> ModuleType:
    """A script of the recipe as a module; its dataclasses need it in sys.modules."""
    spec = importlib.util.spec_from_file_location(f"default_{name}", RECIPE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    return script("corpus")


@pytest.fixture(scope="module")
def dev_labels() -> ModuleType:
    return script("dev_labels")


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


def source(corpus: ModuleType, **changes: object) -> object:
    """A training package with room for an hour."""
    row = {"name": "p", "licence": "CC0", "minutes": 60.0, "split": "train", "note": "sounds"}
    return corpus.Source(**{**row, **changes})


def commit(folder: Path, files: dict[str, bytes]) -> str:
    """Make a git repository with one commit of these files in `folder`; return its name."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "sounds"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    for key in ("allowFilter", "allowAnySHA1InWant"):  # as github.com allows
        subprocess.run(["git", "config", f"uploadpack.{key}", "true"], cwd=folder, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    return head.stdout.strip()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that git takes for https://github.com."""
    folder = tmp_path / "site"
    configuration = tmp_path / "gitconfig"
    configuration.write_text(f'[url "file://{folder}/"]\n\tinsteadOf = https://github.com/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    return folder


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
    assert [clip.start for clip in corpus.cut(corpus.Sound("a", "d", seconds), 6)] == starts


def test_duplicates_short_and_unwanted_sounds_are_dropped(corpus):
    sounds = [
        corpus.Sound("p/one.wav", "1", 5.0),
        corpus.Sound("p/same as one.wav", "1", 5.0),
        corpus.Sound("p/held out.wav", "2", 5.0),
        corpus.Sound("p/click.wav", "3", 0.2),
        corpus.Sound("p/kit/drum.wav", "4", 5.0),
    ]
    seen = {"2"}
    clips = corpus.select(source(corpus, without=("/kit/",)), sounds, seen)
    assert [clip.sound.digest for clip in clips] == ["1"]
    assert {"1", "2"} <= seen


def test_caps_take_a_piece_of_every_track_first(corpus):
    sounds = [corpus.Sound(f"p/{i}.ogg", str(i), 100.0) for i in range(6)]
    clips = corpus.select(source(corpus, minutes=1.0), sounds, set())
    assert [clip.sound.path for clip in clips] == [sound.path for sound in sounds]
    words = [corpus.Sound(f"p/{i}.ogg", str(i), 1.0) for i in range(1000)]
    assert len(corpus.select(source(corpus, note="speech: Latin"), words, set())) == 300


def test_ambience_gives_more_pieces_of_a_track_than_music(corpus):
    rain = [corpus.Sound("p/rain.ogg", "1", 1000.0)]
    assert len(corpus.select(source(corpus, note="music"), rain, set())) == 6
    assert len(corpus.select(source(corpus, note="ambience: rain"), rain, set())) == 30


def test_sounds_named_after_a_test_recording_are_not_used(corpus):
    names = ["1234__someone__dog.wav", "dog_1234.ogg", "12345__someone__cat.wav", "1234/bird.wav"]
    sounds = [corpus.Sound(f"p/{name}", name, 5.0) for name in names]
    clips = corpus.select(source(corpus), sounds, set(), frozenset({"1234"}))
    assert {clip.sound.path for clip in clips} == {"p/12345__someone__cat.wav", "p/1234/bird.wav"}


def test_takes_the_named_sounds_of_a_repository_at_its_commit(corpus, tmp_path, site):
    """Files of `paths`, none of `without`, and the licences; nothing of later commits."""
    folder = site / "someone" / "sounds.git"
    name = commit(
        folder,
        {
            "audio/a dog.wav": wav(1),
            "audio/[cat] #2!.wav": wav(1, 2),
            "audio/ü.wav": wav(1, 7),
            "audio/nc/bird.wav": wav(1, 3),
            "audio/more.zip": zipped({"frog.wav": wav(1, 4)}),
            "audio/readme.txt": b"recorded by someone",
            "music/song.wav": wav(1, 5),
            "LICENSE": b"CC0",
            "code.py": b"pass",
        },
    )
    commit(folder, {"audio/later.wav": wav(1, 6)})
    row = source(
        corpus, name="someone/sounds", commit=name, paths=("audio/*",), without=("/nc/",), note="x"
    )
    out = tmp_path / "out"
    corpus.build([row], out)
    with (out / "corpus.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["path"], row["group"], row["split"]) for row in csv.DictReader(file)]
    below = "audio/someone+sounds/audio"
    assert rows == [
        (f"{below}/[cat] #2!.wav", "someone/sounds", "train"),
        (f"{below}/a dog.wav", "someone/sounds", "train"),
        (f"{below}/more.zip/frog.wav", "someone/sounds", "train"),
        (f"{below}/ü.wav", "someone/sounds", "train"),
    ]
    assert all((out / path).is_file() for path, _, _ in rows)
    licences = out / "licences" / "someone+sounds"
    told = {p.relative_to(licences).as_posix() for p in licences.rglob("*") if p.is_file()}
    assert told == {"LICENSE", "audio/readme.txt"}
    assert {p.name for p in out.iterdir()} == {"audio", "index", "licences", "corpus.csv"}


def test_a_commit_that_is_not_there_is_named(corpus, tmp_path, site):
    commit(site / "someone" / "sounds.git", {"dog.wav": wav(1)})
    row = source(corpus, name="someone/sounds", commit="0" * 40, paths=("*",))
    with pytest.raises(SystemExit, match="someone/sounds: git cannot fetch 0000"):
        corpus.build([row], tmp_path / "out")
    assert not (tmp_path / "out" / "corpus.csv").exists()
    assert not list((tmp_path / "out").rglob("*.wav"))


def test_a_sound_in_a_package_and_a_repository_is_taken_once(corpus, tmp_path):
    header = ["path", "digest", "seconds"]
    (tmp_path / "index").mkdir()
    corpus.write_csv(tmp_path / "index" / "p.csv", header, [["p/a.wav", "1", "3.0"]])
    corpus.write_csv(
        tmp_path / "index" / "o+r.csv",
        header,
        [["o+r/b.wav", "1", "3.0"], ["o+r/c.wav", "2", "3.0"]],
    )
    corpus.build([source(corpus, name="o/r", commit="c"), source(corpus)], tmp_path)
    text = (tmp_path / "corpus.csv").read_text()
    assert "audio/p/a.wav" in text and "audio/o+r/c.wav" in text and "b.wav" not in text


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
    sources = [source(corpus), source(corpus, name="t", split="test")]
    corpus.build(sources, tmp_path)
    with (tmp_path / "corpus.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "label", "split", "group", "start", "end"],
        ["audio/p/a.wav", "", "train", "p", "", ""],
        ["audio/p/b, c.ogg", "", "train", "p", "0.0", "10.0"],
    ]
    assert "p " in capsys.readouterr().out


def test_packages_table_is_sound(corpus):
    packages = corpus.read_sources(RECIPE / "packages.tsv")
    names = [p.name for p in packages]
    assert names == sorted(set(names))
    assert {p.split for p in packages} == {"train", "dev", "test"}
    assert all(p.licence and p.note and not p.commit for p in packages)
    held_out = {p.name for p in packages if p.split == "test"}
    assert {"scratch", "sonic-pi-samples", "tuxpaint-stamps-default"} <= held_out


def test_repositories_table_is_sound(corpus):
    repositories = corpus.read_sources(RECIPE / "repositories.tsv")
    names = [r.name for r in repositories]
    assert names == sorted(set(names), key=str.lower)
    assert all(r.licence and r.note and r.paths and r.minutes > 0 for r in repositories)
    assert all(
        len(r.commit) == 40 and set(r.commit) <= set("0123456789abcdef") for r in repositories
    )
    assert {r.split for r in repositories} == {"train", "dev"}
    assert not any(word in r.licence for r in repositories for word in ("-NC", "-ND", "Sampling"))


def test_paths_of_a_repository_stand_in_its_row_or_in_a_file(corpus, tmp_path):
    (tmp_path / "list.txt").write_text("a dog.ogg\nb/*\n")
    names = ("repository", "commit", "licence", "minutes", "split", "note", "paths", "without")
    rows = [
        ("o/a", "c" * 40, "CC0", "5", "train", "dogs", "a/* b?c.ogg", "/nc/ x"),
        ("o/b", "d" * 40, "MIT", "5", "dev", "dogs", "@list.txt", ""),
    ]
    table = tmp_path / "repositories.tsv"
    table.write_text("\n".join("\t".join(row) for row in (names, *rows)) + "\n")
    first, second = corpus.read_sources(table)
    assert (first.name, first.folder, first.paths) == ("o/a", "o+a", ("a/*", "b?c.ogg"))
    assert first.without == ("/nc/", "x")
    assert second.paths == ("a dog.ogg", "b/*")


def test_held_out_numbers_are_read(corpus, tmp_path):
    listed = tmp_path / "held_out.txt"
    listed.write_text("# a comment\n12\n345  # a dog\n\n")
    assert corpus.read_held_out(listed) == {"12", "345"}
    assert len(corpus.read_held_out(RECIPE / "held_out.txt")) == 1524


def test_labels_of_paths_are_classes_of_audioset(dev_labels):
    names = set(Labels.audioset().names)
    rules = dev_labels.read_rules(RECIPE / "dev_labels.tsv")
    assert all(name in names for _, given in rules for name in given)


def test_ancestors_are_added_where_only_one_is_possible(dev_labels):
    audioset = Labels.audioset()
    assert dev_labels.with_ancestors(("Bark",), audioset) == [
        "Animal",
        "Domestic animals, pets",
        "Dog",
        "Bark",
    ]
    assert dev_labels.with_ancestors(("Growling",), audioset) == ["Growling"]
    with pytest.raises(KeyError):
        dev_labels.with_ancestors(("Unicorn",), audioset)


def test_development_clips_are_labelled_by_their_paths(dev_labels, tmp_path, monkeypatch, capsys):
    """Only dev clips that a rule names, the first piece of each, two of a class from one group."""
    path = "audio/AntumMT+mod-sounds/sounds/sounds_"
    rows = [f"{path}dog_bark_{i}.ogg,,dev,g,," for i in range(3)] + [
        f"{path}church_bells_01.ogg,,dev,g,0.0,10.0",
        f"{path}church_bells_01.ogg,,dev,g,10.0,20.0",
        f"{path}dog_bark.ogg,,train,g,,",
        f"{path}unknown.ogg,,dev,g,,",
    ]
    table = "path,label,split,group,start,end\n" + "\n".join(rows) + "\n"
    (tmp_path / "corpus.csv").write_text(table)
    out = tmp_path / "dev_labels.csv"
    arguments = ["dev_labels.py", str(tmp_path / "corpus.csv"), str(out), "--per-group", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    dev_labels.main()
    with out.open(newline="", encoding="utf-8") as file:
        written = [
            (row["path"], row["label"].split(";")[-1], row["end"]) for row in csv.DictReader(file)
        ]
    assert written == [
        (f"{path}dog_bark_0.ogg", "Bark", ""),
        (f"{path}dog_bark_1.ogg", "Bark", ""),
        (f"{path}church_bells_01.ogg", "Church bell", "10.0"),
    ]
    assert capsys.readouterr().out == "3 clips, 6 classes\n"
