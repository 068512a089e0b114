"""Outputs: file or folder, names in a folder, what is there already."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from audiotag.errors import OutputError
from audiotag.label_set import Labels
from audiotag.tagging.outputs import plan_output
from audiotag.tagging.provenance import IN_FOLDER
from audiotag.tagging.results import FileTags, Tag
from audiotag.tagging.tag import TagOptions

GOOD = (Tag("Speech", "/m/09x0r", 0.9),)
ENGINE = SimpleNamespace(
    name="model",
    weights=None,
    precision="fp32",
    labels=Labels(["Speech"]),
    thresholds=None,
    min_duration=3.0,
    sample_rate=32_000,
)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.wav", "in/deep/a.wav", "other/a.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def tree(folder: str) -> list[str]:
    """Files of results in a folder."""
    files = (p for p in Path(folder).rglob("*") if p.is_file() and p.name != IN_FOLDER)
    return sorted(p.relative_to(folder).as_posix() for p in files)


def write(paths, target, results, format=None, resume=False) -> None:
    with plan_output(paths, target, format, resume).open(ENGINE, TagOptions()) as out:
        for result in results:
            if not out.has(Path(result.path)):
                out.write(result)


@pytest.mark.parametrize(
    ("target", "folder", "format"),
    [
        (None, False, "table"),
        ("in", True, "jsonl"),
        ("new/", True, "jsonl"),
        ("new", True, "jsonl"),
        ("new.csv/", True, "jsonl"),
        ("x.csv", False, "csv"),
        ("x.JSON", False, "json"),
        ("x.selections.txt", False, "raven"),
        ("x.txt", False, "table"),
    ],
)
def test_where_and_how_by_default(here, target, folder, format):
    plan = plan_output(["in"], target, None, resume=False)
    assert (plan.folder, plan.format) == (folder, format)


@pytest.mark.parametrize(
    ("paths", "target", "format", "resume", "remedy"),
    [
        (["in"], "x.xls", None, False, "--format"),
        (["in"], None, "audacity", False, "--output FOLDER"),
        (["-"], "x.txt", "audacity", False, "--output FOLDER"),
        (["in"], None, None, True, "--output"),
        (["in"], "x.json", None, True, "jsonl or csv"),
        (["in"], "full.jsonl", None, False, "--resume"),
        (["in"], "full.jsonl", "json", False, "remove it"),
    ],
)
def test_what_does_not_go_together_names_the_remedy(here, paths, target, format, resume, remedy):
    Path("full.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=remedy):
        plan_output(paths, target, format, resume)
    assert Path("full.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize(
    ("paths", "files", "expected"),
    [
        (["in"], ["in/a.wav", "in/deep/a.wav"], ["a.wav.jsonl", "deep/a.wav.jsonl"]),
        (["in/"], ["in/a.wav"], ["a.wav.jsonl"]),
        (["in", "other"], ["in/a.wav", "other/a.wav"], ["in/a.wav.jsonl", "other/a.wav.jsonl"]),
        (["in/a.wav"], ["in/a.wav"], ["a.wav.jsonl"]),
        (["in/a.wav", "in/deep"], ["in/deep/a.wav"], ["deep/a.wav.jsonl"]),
        (["-"], ["in/a.wav", "/in/a.wav"], ["_outside/in/a.wav.jsonl", "in/a.wav.jsonl"]),
        (["in/../other"], ["in/../other/a.wav"], ["a.wav.jsonl"]),
    ],
)
def test_a_folder_mirrors_the_inputs_tree(here, paths, files, expected):
    write(paths, "out", [FileTags(file, 1.0, GOOD) for file in files])
    assert tree("out") == expected


@pytest.mark.parametrize("format", ["table", "jsonl", "json", "csv", "audacity", "raven"])
def test_a_folder_gets_whole_files_and_failures_apart(here, format):
    good, bad = FileTags("in/a.wav", 1.0, GOOD), FileTags("in/b.wav", None, (), error="no audio")
    write(["in"], "out", [good, bad], format)
    (name,) = (name for name in tree("out") if name.startswith("a.wav."))
    assert "Speech" in Path("out", name).read_text()
    assert json.loads(Path("out/b.wav.error.json").read_text()) == {
        "path": "in/b.wav",
        "error": "no audio",
    }
    stamp = os.stat(Path("out", name)).st_mtime_ns
    write(["in"], "out", [good, FileTags("in/b.wav", 2.0, GOOD)], format, resume=True)
    assert os.stat(Path("out", name)).st_mtime_ns == stamp
    assert len(tree("out")) == 2 and "b.wav.error.json" not in tree("out")


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_lines_are_in_the_file_at_once(here, suffix):
    with plan_output(["in"], f"new/x.{suffix}", None, False).open(ENGINE, TagOptions()) as out:
        for i in range(3):
            out.write(FileTags(f"{i}.wav", 1.0, GOOD))
            assert f"{i}.wav" in Path(f"new/x.{suffix}").read_text()


def test_formats_with_an_end_appear_when_whole_even_if_interrupted(here):
    def interrupted():
        yield FileTags("a.wav", 1.0, GOOD)
        assert not Path("x.json").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(["in"], "x.json", interrupted())
    assert [record["path"] for record in json.loads(Path("x.json").read_text())] == ["a.wav"]


def test_nothing_is_written_without_results(here):
    write(["in"], "x.csv", [])
    assert not Path("x.csv").exists()


def test_resume_goes_on(here):
    a, b = FileTags("a", 1.0, GOOD), FileTags("b", 1.0, GOOD)
    for suffix in ("jsonl", "csv"):
        write(["in"], f"x.{suffix}", [a, b], resume=True)
        whole = Path(f"x.{suffix}").read_bytes()
        write(["in"], f"x.{suffix}", [a, b], resume=True)
        assert Path(f"x.{suffix}").read_bytes() == whole


def test_a_link_stays_a_link(here):
    Path("real.jsonl").touch()
    Path("x.jsonl").symlink_to("real.jsonl")
    write(["in"], "x.jsonl", [FileTags("a", 1.0, GOOD)], resume=True)
    write(["in"], "x.jsonl", [FileTags("b", 1.0, GOOD)], resume=True)
    assert Path("x.jsonl").is_symlink() and len(Path("real.jsonl").read_text().splitlines()) == 2


def test_what_cannot_be_written_is_named(here):
    Path("file").touch()
    with pytest.raises(OutputError, match=r"file/x\.jsonl"):
        write(["in"], "file/x.jsonl", [FileTags("a", 1.0, GOOD)])
    with pytest.raises(OutputError, match="/dev/full"):
        write(["in"], "/dev/full", [FileTags("a", 1.0, GOOD)], format="jsonl")
