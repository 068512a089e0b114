"""Resuming: an output cut anywhere loses no file and doubles none."""

import csv
import io
import json
from pathlib import Path

import pytest

from audiotag.errors import DataError
from audiotag.tagging.formats import make_format
from audiotag.tagging.results import FileTags, Tag
from audiotag.tagging.resume import recover

TAGS = (Tag("Speech", "/m/09x0r", 0.9), Tag('An "odd", one', None, 0.25))
RESULTS = (
    FileTags("a.wav", 1.0, TAGS),
    FileTags("b, é.wav", 2.0, ()),
    FileTags("line\nend.wav", 2.0, TAGS),
    FileTags("bad.wav", None, (), error="no audio"),
    FileTags("b", 3.0, TAGS[:1]),
)


def whole(name: str, results=RESULTS) -> bytes:
    form = make_format(name, False, 32_000)
    return (form.start() + "".join(map(form.add, results))).encode()


def paths(name: str, data: bytes) -> list[str]:
    """Paths of an output in order, by the standard readers."""
    if name == "jsonl":
        return [json.loads(line)["path"] for line in data.splitlines()]
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return list(dict.fromkeys(row["path"] for row in rows))


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_cut_anywhere_and_gone_on_with_gives_the_whole(tmp_path, name):
    output = tmp_path / "out"
    data = whole(name)
    for size in range(len(data) + 1):
        output.write_bytes(data[:size])
        done = recover(output, name)
        kept = output.read_bytes()
        rest = [result for result in RESULTS if result.path not in done]
        form = make_format(name, False, 32_000)
        more = ("" if done else form.start()) + "".join(map(form.add, rest))
        final = kept + more.encode()
        assert sorted(paths(name, final)) == sorted(result.path for result in RESULTS), size
        assert len(final) == len(data), size
        assert list(tmp_path.iterdir()) == [output]


def test_finished_files_are_kept_and_failed_ones_tried_again(tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_bytes(whole("jsonl"))
    assert recover(output, "jsonl") == {"a.wav", "b, é.wav", "line\nend.wav", "b"}
    assert "bad.wav" not in paths("jsonl", output.read_bytes())


def test_nothing_there_is_nothing_done(tmp_path):
    assert recover(tmp_path / "out.csv", "csv") == set()
    assert recover(Path("/dev/null"), "jsonl") == set()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jsonl", "dear diary\n"),
        ("jsonl", '{"file": "a.wav"}\n'),
        ("jsonl", "[1]\n"),
        ("csv", "path,score\na.wav,1\n"),
        ("csv", whole("csv").decode() + "a,b\n" + "c.wav,0,1,,,,\n"),
    ],
)
def test_what_is_not_ours_is_left_alone(tmp_path, name, text):
    output = tmp_path / "out"
    output.write_text(text)
    with pytest.raises(DataError, match="choose another --output"):
        recover(output, name)
    assert output.read_text() == text and list(tmp_path.iterdir()) == [output]
