"""Resuming: an output cut anywhere becomes, to the byte, that of a run that was never stopped."""

import csv
import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from audiotag.errors import DataError
from audiotag.tagging.formats import Surroundings, make_format
from audiotag.tagging.results import FileTags, Tag
from audiotag.tagging.resume import cut, real_path, recover, settle

TAGS = (Tag("Speech", "/m/09x0r", 0.9), Tag('An "odd", one', None, 0.25))
RESULTS = (
    FileTags("a.wav", 1.0, TAGS),
    FileTags("b, é.wav", 2.0, ()),
    FileTags("line\nend.wav", 2.0, TAGS),
    FileTags("cr\rlf\r\n.wav", 2.0, TAGS),
    FileTags("bad.wav", None, (), error="no audio"),
    FileTags("caf\udce9.wav", 2.0, TAGS, warning="a gap"),
    FileTags("=1+1.wav", 2.0, TAGS),
    FileTags("b", 3.0, TAGS[:1]),
)
FORMATS = ("jsonl", "csv")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(name: str, results, begun: bool = False) -> bytes:
    form = make_format(name, Surroundings(False, 32_000))
    return (("" if begun else form.start()) + "".join(map(form.add, results))).encode()


def go_on(output: Path, name: str, results) -> None:
    """What a run with --resume does."""
    earlier = recover(output, name)
    rest = [result for result in results if not earlier.take(result.path)]
    for number, result in enumerate(rest):
        earlier.name_of(result.path, is_first=number == 0)
        if number == 0:
            cut(output, earlier.size)
        with open(output, "ab") as file:
            file.write(text(name, [result], begun=number > 0 or earlier.size > 0))
    if not earlier.is_settled:
        settle(output, name)


def paths(name: str, data: bytes) -> list[str]:
    """Paths of an output in order, by the standard readers."""
    if name == "jsonl":
        return [json.loads(line)["path"] for line in data.splitlines()]
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return list(dict.fromkeys(row["path"] for row in rows))


@pytest.mark.parametrize("name", FORMATS)
def test_cut_anywhere_and_gone_on_with_gives_the_same_bytes(here, name):
    output = here / "out"
    whole = text(name, RESULTS)
    for size in range(len(whole) + 1):
        output.write_bytes(whole[:size])
        go_on(output, name, RESULTS)
        assert output.read_bytes() == whole, size
        assert list(here.iterdir()) == [output]


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_that_is_mended_gives_place_to_its_result(here, name):
    output, mended = here / "out", list(RESULTS)
    mended[4] = FileTags("bad.wav", 1.0, TAGS)
    before, after = text(name, RESULTS), text(name, mended)
    output.write_bytes(before)
    go_on(output, name, mended)
    assert output.read_bytes() == after
    added = text(name, mended[4:5], begun=True)
    for size in range(len(added) + 1):  # killed while the later result was written
        output.write_bytes(before + added[:size])
        go_on(output, name, mended)
        assert output.read_bytes() == after, size


@pytest.mark.parametrize("name", FORMATS)
def test_other_files_leave_earlier_failures_in_place(here, name):
    output = here / "out"
    output.write_bytes(text(name, RESULTS))
    more = [FileTags("other.wav", 1.0, TAGS)]
    go_on(output, name, [*more, RESULTS[-1]])
    assert output.read_bytes() == text(name, [*RESULTS, *more])


def test_the_last_file_of_a_csv_is_kept_where_it_is_not_done_again(here):
    output = here / "out"
    output.write_bytes(text("csv", RESULTS))
    go_on(output, "csv", RESULTS[:2])
    assert output.read_bytes() == text("csv", RESULTS)


@pytest.mark.parametrize("name", FORMATS)
def test_sounds_on_standard_input_are_all_kept(here, name):
    output = here / "out"
    sounds = [
        FileTags("-", 1.0, TAGS),
        FileTags("-", 2.0, TAGS),
        FileTags("a", None, (), error="x"),
    ]
    output.write_bytes(text(name, sounds[:2]))
    with open(output, "ab") as file:
        file.write(text(name, sounds[2:] * 2, begun=True))
    settle(output, name)
    kept = output.read_bytes()
    assert kept == text(name, sounds)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_written_where_nothing_is_torn(here, name):
    output = here / "out"
    output.write_bytes(text(name, RESULTS))
    output.chmod(0o400)
    stamp = output.stat()
    recover(output, name)
    assert (output.stat().st_mtime_ns, output.stat().st_ino) == (stamp.st_mtime_ns, stamp.st_ino)


def test_finished_files_are_known_and_failed_ones_too(here):
    output = here / "out.jsonl"
    output.write_bytes(text("jsonl", RESULTS))
    earlier = recover(output, "jsonl")
    good = [result.path for result in RESULTS if result.error is None]
    assert earlier.done == Counter(str(here / path) for path in good)
    assert earlier.again == {str(here / "bad.wav"): ["bad.wav"]}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_known_by_any_spelling_of_its_path(here, name):
    (here / "in").mkdir()
    (here / "link").symlink_to("in")
    output = here / "out"
    spellings = ["in/a.wav", "./in//a.wav", "in/../in/a.wav", str(here / "in/a.wav"), "link/a.wav"]
    for old in spellings:
        for new in spellings:
            output.write_bytes(text(name, [FileTags(old, 1.0, TAGS), FileTags("z", 1.0, TAGS)]))
            earlier = recover(output, name)
            assert earlier.take(new) and not earlier.take(new), (old, new)
            assert not earlier.take("in/b.wav")


def test_a_link_and_its_file_have_a_result_each(here):
    (here / "in").mkdir()
    (here / "link").symlink_to("in")
    output = here / "out"
    output.write_bytes(text("jsonl", [FileTags("link/a.wav", 1.0, TAGS)]))
    assert [recover(output, "jsonl").take(path) for path in ("link/a.wav", "in/a.wav")] == [
        True
    ] * 2
    earlier = recover(output, "jsonl")
    assert earlier.take("link/a.wav") and not earlier.take("in/a.wav")
    failed = [FileTags(path, None, (), error="no") for path in ("in/a.wav", "link/a.wav")]
    output.write_bytes(text("jsonl", failed))
    go_on(output, "jsonl", failed)
    assert output.read_bytes() == text("jsonl", failed)


def test_a_file_that_failed_keeps_its_name(here):
    output = here / "out"
    output.write_bytes(text("jsonl", [FileTags("a.wav", None, (), error="no")]))
    earlier = recover(output, "jsonl")
    assert earlier.name_of(str(here / "a.wav"), True) == "a.wav"
    assert earlier.name_of(str(here / "a.wav"), False) == str(here / "a.wav")


def test_paths_start_where_they_did(here, monkeypatch):
    for folder in ("old", "new"):
        (here / folder).mkdir()
    output = here / "out"
    output.write_bytes(text("jsonl", [FileTags("a.wav", 1.0, TAGS)]))
    monkeypatch.chdir(here / "new")
    earlier = recover(output, "jsonl", str(here / "old"))
    assert not earlier.take("a.wav") and earlier.take("../old/a.wav")
    assert earlier.name_of("b.wav", True) == os.path.join("..", "new", "b.wav")
    assert [earlier.name_of(path, False) for path in ("/b.wav", "-")] == ["/b.wav", "-"]


def test_real_path_is_that_of_the_folder(here):
    (here / "in").mkdir()
    (here / "in/a.wav").symlink_to("b.wav")
    assert real_path("in/a.wav") == str(here / "in/a.wav")


def test_nothing_there_is_nothing_done(here):
    assert recover(here / "out.csv", "csv").size == 0
    assert recover(Path("/dev/null"), "jsonl").size == 0
    assert not list(here.iterdir())


OLD_CSV = (
    "path,start,end,label,mid,score,error\n"
    "a.wav,0.0,1.0,Speech,/m/09x0r,0.9,\n"
    "bad.wav,,,,,,no audio\n"
    "b.wav,0.0,1.0,Speech,/m/09x0r,0.9,\n"
)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_of_an_earlier_version_keeps_its_columns(here, mark):
    output = here / "out.csv"
    output.write_text(mark + OLD_CSV, encoding="utf-8")
    earlier = recover(output, "csv")
    assert earlier.columns == ("path", "start", "end", "label", "mid", "score", "error")
    assert earlier.take("a.wav") and not earlier.take("b.wav")
    form = make_format("csv", Surroundings(False, 32_000, columns=earlier.columns))
    assert form.add(FileTags("b.wav", 1.0, TAGS[:1], warning="x")) == OLD_CSV.splitlines(True)[-1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("jsonl", "dear diary\n"),
        ("jsonl", '{"file": "a.wav"}\n'),
        ("jsonl", '{"path": 1}\n'),
        ("jsonl", "[1]\n"),
        ("csv", "path,score\na.wav,1\n"),
        ("csv", text("csv", RESULTS).decode() + "a,b\n" + "c.wav,0,1,,,,\n"),
        ("csv", text("csv", RESULTS[:1]).decode() + "a\rb.wav,0,1,,,,,\nc.wav,0,1,,,,,\n"),
    ],
)
def test_what_is_not_ours_is_left_alone(here, name, content):
    output = here / "out"
    output.write_text(content, newline="")
    before = output.read_bytes()
    with pytest.raises(DataError, match="choose another --output"):
        recover(output, name)
    assert output.read_bytes() == before and list(here.iterdir()) == [output]
