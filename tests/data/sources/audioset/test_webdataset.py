"""AudioSet as WebDataset tars, written by tarfile and by the webdataset package."""

import io
import json
import random
import tarfile

import pytest
import soundfile
import webdataset
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.data.prepare.prepare import prepare
from audiotag.data.recordings import Recording
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.errors import DataError
from tests.support.made_recordings import failures_of, noise, rows_of

RATE = 8000  # Hz
SPEECH, MUSIC, DOG = ("/m/09x0r", "Speech", 0), ("/m/04rlf", "Music", 137), ("/m/0bt9lr", "Dog", 74)


def sound(number, form="FLAC"):
    file = io.BytesIO()
    soundfile.write(file, noise(number), RATE, format=form)
    return file.getvalue()


def write_tar(path, members, form=tarfile.GNU_FORMAT):
    """Write members, each a name and bytes; gives the place of each one's header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    places = {}
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            places[name] = tar.offset
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return places


def numbered(count, first=0):
    """Clips as confit/audioset-16khz-wds has them, with numbers for keys."""
    for i in range(first, first + count):
        _, name, index = (SPEECH, MUSIC, DOG)[i % 3]
        about = {"id": f"-{i:09d}_", "label": [name], "label_id": [index]}
        yield f"{i - first:09d}.json", json.dumps(about).encode()
        yield f"{i - first:09d}.wav", sound(i, "WAV")


@pytest.fixture
def folder(tmp_path):
    """Nine clips for training in two files that name them alike, and three for evaluation."""
    write_tar(tmp_path / "copy" / "20k" / "train" / "00.tar", numbered(6))
    write_tar(tmp_path / "copy" / "2m" / "train" / "00.tar", numbered(3, 6))
    write_tar(tmp_path / "copy" / "20k" / "test" / "00.tar", numbered(3, 9))
    return tmp_path / "copy"


def test_clips_have_their_ids_labels_and_splits(folder, tmp_path):
    out = prepare(open_audioset(folder), tmp_path / "data", RATE)
    rows = {row["key"]: (row["split"], row["labels"]) for row in rows_of(out)}
    assert rows == {
        f"-{i:09d}_": ("train" if i < 9 else "eval", [("Speech", "Music", "Dog")[i % 3]])
        for i in range(12)
    }
    assert not failures_of(out)


def test_subsets_classes_and_parts(folder):
    sizes = [len(open_audioset(folder, [x])) for x in ("balanced", "unbalanced", "eval")]
    assert sizes == [6, 3, 3]
    assert len(open_audioset(folder / "20k" / "test", ["eval"])) == 3
    source = open_audioset(folder, classes=["Music", "/m/0bt9lr"])
    keys = [x.key for x in source.recordings(0, len(source))]
    assert sorted(keys) == [f"-{i:09d}_" for i in range(12) if i % 3]
    assert [x.key for x in source.recordings(1, 4)] == keys[1:4]
    with pytest.raises(DataError, match="no files of unbalanced"):
        open_audioset(folder / "20k", ["unbalanced"])


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("json", '{"labels": ["/m/09x0r", "/m/04rlf"]}'),
        ("json", '{"label": "Speech;Music", "label_id": 5}'),
        ("json", '{"labels": [], "label_ids": [0, 137]}'),
        ("json", '["Speech", 137]'),
        ("cls", "0 , 137\n"),
        ("cls", "0\n137\n"),
        ("txt", "Speech, Music"),
        ("txt", "/m/09x0r,/m/04rlf,Speech"),
    ],
)
def test_labels_in_all_their_forms(tmp_path, suffix, text):
    members = [("a/Yp-_3456789a.flac", sound(0)), (f"a/Yp-_3456789a.{suffix}", text.encode())]
    write_tar(tmp_path / "a.tar", members)
    (clip,) = open_audioset(tmp_path).recordings(0, 1)
    assert (clip.key, clip.labels) == ("p-_3456789a", ("Speech", "Music"))


def test_a_name_with_commas_is_one_label(tmp_path):
    members = [("a.flac", sound(0)), ("a.txt", b"Child speech, kid speaking")]
    write_tar(tmp_path / "a.tar", members)
    (clip,) = open_audioset(tmp_path).recordings(0, 1)
    assert clip.labels == ("Child speech, kid speaking",)


def test_what_webdataset_writes_is_read_as_webdataset_reads_it(tmp_path):
    path = tmp_path / "train.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for i in range(4):
            key = f"sub/{'long ' * 30}{i}" if i % 2 else str(i)
            writer.write({"__key__": key, "ogg": sound(i, "OGG"), "cls": i, "info.txt": "Dog"})
    source = open_audioset(tmp_path)
    expected = list(webdataset.WebDataset(str(path), shardshuffle=False))
    found = list(source.recordings(0, len(source)))
    assert [x.audio.data for x in found] == [x["ogg"] for x in expected]
    assert [x.key for x in found] == [f"train/{x['__key__']}" for x in expected]
    assert [x.labels[0] for x in found] == [source.labels[int(x["cls"])] for x in expected]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_damage_costs_only_what_it_hits(tmp_path, form):
    path = tmp_path / "copy" / "train.tar"
    places = write_tar(path, numbered(6), form)
    data = bytearray(path.read_bytes())
    for name in ("000000001.json", "000000002.wav", "000000004.json", "000000004.wav"):
        data[places[name] : places[name] + 512] = b"\xff" * 512
    end = places["000000005.wav"] + 512 + 100
    path.write_bytes(data[:end])
    out = prepare(open_audioset(tmp_path / "copy"), tmp_path / "data", RATE)
    assert [row["key"] for row in rows_of(out)] == ["-000000000_", "-000000003_"]
    failures = {x["source"].removeprefix("train.tar/"): x["reason"] for x in failures_of(out)}
    damages = [f"byte {places[x]}" for x in ("000000001.json", "000000002.wav", "000000004.json")]
    lost = ["000000001", "000000002", "000000005"]
    assert set(failures) == {*damages, *lost}
    assert all("damaged here" in failures[place] for place in damages)
    assert "no json or cls or txt" in failures["000000001"]
    assert "no audio file" in failures["000000002"]
    assert "100 of 16,044 bytes are there" in failures["000000005"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_no_damage_makes_it_fail_or_changes_other_clips(tmp_path, form):
    """Headers changed at random, often with a sum that says they are right, and the end cut."""
    names = [f"{'long ' * 30 * (i % 2)}{i}" for i in range(6)]
    members = [(f"{x}.{y}", z) for x in names for y, z in (("flac", b"x" * 700), ("cls", b"0"))]
    places = write_tar(tmp_path / "a.tar", members, form).values()
    write_tar(tmp_path / "b.tar", [("good.flac", b"good"), ("good.cls", b"0")])
    good, draw = (tmp_path / "a.tar").read_bytes(), random.Random(0)
    for number in range(150):
        data, changed = bytearray(good), draw.sample(list(places), number % 4)
        for place in changed:
            field, size = draw.choice([(0, 100), (124, 12), (124, 12), (156, 1), (257, 6)])
            junk = draw.choice([draw.randbytes(size), b"\x80" + draw.randbytes(size - 1)])
            data[place + field : place + field + size] = junk
            if number % 3:
                header = data[place : place + 148] + b" " * 8 + data[place + 156 : place + 512]
                data[place + 148 : place + 156] = b"%06o\0 " % sum(header)
        cut = draw.randrange(len(data)) if number % 5 == 0 else len(data)
        (tmp_path / "a.tar").write_bytes(data[:cut])
        source = open_audioset(tmp_path)
        found = list(source.recordings(0, len(source)))
        assert len(found) == len(source)
        clips = [x for x in found if isinstance(x, Recording)]
        assert clips.pop().audio.data == b"good"
        if cut == len(data) and number % 3 == 0:
            assert len(clips) >= 6 - len(changed)


def test_names_in_archives_reach_no_other_place(tmp_path):
    about, escape = b'{"labels": ["Dog"]}', "../../escaped"
    folder, out = tmp_path / "deep" / "copy", tmp_path / "deep" / "data"
    names = (escape, "/tmp/absolute", "..", "a\\..\\b", "\udcff", "new\nline", "x" * 300)
    members = [
        pair
        for number, name in enumerate(names)
        for pair in ((f"{name}.flac", sound(number)), (f"{name}.json", about))
    ]
    write_tar(folder / "train.tar", members[:-2], tarfile.GNU_FORMAT)
    write_tar(folder / "other.tar", members[-2:], tarfile.PAX_FORMAT)
    with tarfile.open(folder / "link.tar", "w") as tar:
        link = tarfile.TarInfo("secret.flac")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("README"))
    before = {path for path in tmp_path.rglob("*") if out not in path.parents}
    prepare(open_audioset(folder), out, RATE)
    rows = rows_of(out)
    assert len(rows) == len(names) - 1, failures_of(out)  # "...flac" is hidden
    assert all("/" not in row["key"] and "." not in row["key"] for row in rows)
    assert {path for path in tmp_path.rglob("*") if out not in path.parents} == before | {out}


def test_what_is_no_tar_and_what_has_no_labels_are_failures(tmp_path):
    folder = tmp_path / "copy"
    pairs = [("a", b'{"x": 1}'), ("b", b'{"label": "Dogs"}'), ("c", b"{"), ("d", b"[" * 100_000)]
    members = [
        pair
        for number, (name, about) in enumerate(pairs)
        for pair in ((f"{name}.flac", sound(number)), (f"{name}.json", about))
    ]
    write_tar(folder / "a.tar", members)
    (folder / "b.tar").write_bytes(random.Random(0).randbytes(5000))
    (folder / "c.tar").touch()
    out = prepare(open_audioset(folder), tmp_path / "data", RATE)
    assert not rows_of(out)
    failures = {x["source"]: x["kind"] for x in failures_of(out)}
    assert failures == {
        "a.tar/a": "class",
        "a.tar/b": "class",
        "a.tar/c": "unreadable",
        "a.tar/d": "unreadable",
        "b.tar": "unreadable",
        "c.tar": "unreadable",
    }


def test_a_data_set_prepared_into_the_folder_is_no_part_of_it(folder):
    words = [str(x) for x in ("prepare", "audioset", folder, folder / "out", "--sample-rate", RATE)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 0 and "left as it is" in again.output
    assert len(open_audioset(folder / "out")) == 12  # itself a copy in this layout


def test_command(folder, tmp_path):
    words = ("prepare", "audioset", folder, tmp_path / "data", "--limit", 7, "--class", "Dog")
    result = CliRunner().invoke(cli, [*map(str, words), "--sample-rate", str(RATE), "--verify"])
    assert result.exit_code == 0, result.output
    assert "4 clips, all as they were written" in result.output


def test_labels_and_splits_come_from_the_lists_where_tars_have_none(tmp_path):
    lists = {
        "balanced_train": 'abcdefghij0, 30.000, 40.000, "/m/04rlf,/m/0bt9lr"\n',
        "eval": '_bcdefghij1, 0.000, 10.000, "/m/09x0r"\n',
    }
    for name, text in lists.items():
        (tmp_path / f"{name}_segments.csv").write_text(text)
    keys = ("abcdefghij0", "Y_bcdefghij1_0", "abcdefghij0_50000", "zbcdefghij2")
    members = [(f"{key}.flac", sound(i)) for i, key in enumerate(keys)]
    write_tar(tmp_path / "copy" / "00000.tar", members)
    source = open_audioset(tmp_path / "copy", metadata=tmp_path)
    music, speech, *failures = source.recordings(0, len(source))
    assert (music.key, music.split, music.labels) == (keys[0], "train", ("Music", "Dog"))
    assert (speech.key, speech.split, speech.labels) == ("_bcdefghij1", "eval", ("Speech",))
    assert [x.kind for x in failures] == ["other time", "class"]
    assert "is in no segment list; say where those are with --metadata" in failures[1].reason
    assert len(open_audioset(tmp_path / "copy", classes=["Dog"])) == 3  # and what cannot be used
