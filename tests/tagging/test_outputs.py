"""Outputs: file or folder, names in a folder, what is there already."""

import hashlib
import html
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from audiotag.errors import DataError, OutputError
from audiotag.label_set import Labels
from audiotag.runtime.version import __version__
from audiotag.tagging.outputs import plan_output
from audiotag.tagging.provenance import IN_FOLDER, SUFFIX
from audiotag.tagging.result_folder import NAME_BYTES, fitting
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
ABOUT = vars(ENGINE)
A, B = FileTags("in/a.wav", 1.0, GOOD), FileTags("in/deep/a.wav", 2.0, GOOD)
FAILED = FileTags("in/bad.wav", None, (), error="no audio")
KEPT = ("x.jsonl", "x.csv", "x.json", "x.html", "x.txt", "x.labels.txt", "x.selections.txt")


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


def write(paths, target, results, format=None, resume=False, **change) -> list[str]:
    """Write results as a run does; gives its warnings. `change` changes the engine or options."""
    engine = SimpleNamespace(**{**vars(ENGINE), **{k: v for k, v in change.items() if k in ABOUT}})
    options = TagOptions(**{k: v for k, v in change.items() if k not in ABOUT})
    warnings: list[str] = []
    with plan_output(paths, target, format, resume).open(engine, options, warnings.append) as out:
        for result in results:
            if not out.has(Path(result.path)):
                out.write(result)
    return warnings


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
        ("-", False, "table"),
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


def record(path) -> dict:
    return json.loads(Path(path).read_text())


@pytest.mark.parametrize("target", KEPT)
def test_what_an_output_was_made_with_lies_beside_it(here, target):
    Path("weights").write_bytes(b"weights")
    write(["in/a.wav"], target, [A], weights=Path("weights"), window=5.0, threshold=0.5)
    assert sorted(os.listdir()) == sorted(["in", "other", "weights", target, target + SUFFIX])
    values = record(target + SUFFIX)
    assert values["audiotag"] == __version__ and values["model"] == "model"
    assert values["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert (values["window"], values["hop"], values["threshold"]) == (5.0, 5.0, 0.5)
    names = {"pool", "precision", "top_k", "timeline", "format", "classes_sha256", "folder"}
    assert names < values.keys() and not {"workers", "batch_size"} & values.keys()


def test_a_page_says_itself_what_it_was_made_with(here, capsysbinary):
    write(["in"], None, [A], format="html", window=5.0)
    page = capsysbinary.readouterr().out.decode()
    text = html.unescape(page.partition('<pre id="made-with">')[2].partition("</pre>")[0])
    assert json.loads(text)["window"] == 5.0
    assert f"Made with audiotag {__version__}, model model" in page


@pytest.mark.parametrize("target", ["x.jsonl", "x.csv", "out/"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 5.0}, "window 10.0, now 5.0"),
        ({"hop": 5.0}, "hop 10.0, now 5.0"),
        ({"pool": "mean"}, "pool max, now mean"),
        ({"threshold": 0.5}, "threshold none, now 0.5"),
        ({"top_k": 3}, "top_k 5, now 3"),
        ({"timeline": True}, "timeline False, now True"),
        ({"precision": "bf16"}, "precision fp32, now bf16"),
        ({"labels": Labels(["Dog"])}, "other classes, thresholds or calibration"),
        ({"thresholds": np.array([0.5])}, "other classes, thresholds or calibration"),
        ({"weights": Path("in/a.wav")}, "other weights"),
    ],
)
def test_what_was_made_otherwise_is_not_gone_on_with(here, target, change, message):
    write(["in"], target, [A])
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=message):
        write(["in"], target, [B], resume=True, **change)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
    assert write(["in"], target, [B], resume=True, name="renamed", hop=10.0, workers=3) == []


def test_another_version_is_something_else(here):
    write(["in"], "x.jsonl", [A])
    values = record("x.jsonl" + SUFFIX) | {"audiotag": "0.0.1"}
    Path("x.jsonl" + SUFFIX).write_text(json.dumps(values))
    with pytest.raises(
        DataError, match=r"audiotag 0\.0\.1, now .* remove x\.jsonl\.audiotag\.json"
    ):
        write(["in"], "x.jsonl", [B], resume=True)
    Path("x.jsonl" + SUFFIX).write_text("no json")
    with pytest.raises(DataError, match="cannot be read"):
        write(["in"], "x.jsonl", [B], resume=True)


def test_another_format_is_not_added_to_a_folder(here):
    write(["in"], "out/", [A], format="csv")
    with pytest.raises(DataError, match="format csv, now jsonl"):
        write(["in"], "out/", [A], resume=True)


@pytest.mark.parametrize("target", ["x.jsonl", "x.csv", "out/"])
def test_an_output_without_a_record_is_gone_on_with_and_said_so(here, target):
    write(["in"], target, [A, B])
    place = Path(target) / IN_FOLDER if target == "out/" else Path(target + SUFFIX)
    place.unlink()
    for _ in range(2):  # it is not known later either
        (warning,) = write(["in"], target, [A, B, FAILED], resume=True)
        assert "does not say what it was made with" in warning
        assert not place.exists()


def test_a_new_output_begins_a_new_record(here):
    write(["in"], "x.jsonl", [A])
    Path("x.jsonl").unlink()
    write(["in"], "x.jsonl", [A], window=5.0, resume=True)
    assert record("x.jsonl" + SUFFIX)["window"] == 5.0


def test_nothing_lies_beside_what_is_no_file(here):
    write(["in"], "/dev/null", [A], format="jsonl")
    assert not Path("/dev/null" + SUFFIX).exists()


@pytest.mark.parametrize("target", ["x.jsonl", "x.csv", "x.html", "out/"])
def test_one_process_at_a_time_writes_an_output(here, target):
    plan = plan_output(["in"], target, None, False)
    with plan.open(ENGINE, TagOptions()) as out:
        with pytest.raises(OutputError, match="another process writes"):
            write(["in"], target, [B])
        out.write(A)
    hidden = {path.name for path in here.rglob(".*")}
    assert hidden == set()


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_other_paths_leave_earlier_errors(here, format):
    write(["in"], f"x.{format}", [A, FAILED, B])
    write(["other"], f"x.{format}", [FileTags("other/a.wav", 1.0, GOOD)], resume=True)
    text = Path(f"x.{format}").read_text()
    assert text.index("bad.wav") < text.index("other/a.wav") and text.count("no audio") == 1
    write(["in"], f"x.{format}", [FileTags(str(here / "in/bad.wav"), 3.0, GOOD)], resume=True)
    text = Path(f"x.{format}").read_text()
    assert "no audio" not in text and text.index("in/a") < text.index("bad") < text.index("in/deep")


def test_an_output_folder_keeps_the_tree_that_it_began_with(here):
    write(["in"], "out", [A, FAILED])
    (here / "link").symlink_to("in")
    for paths in (["in/deep"], ["link"], [str(here / "in")]):
        files = [FileTags(f"{here}/in/deep/a.wav", 2.0, GOOD), FileTags("link/a.wav", 2.0, GOOD)]
        write(paths, "out", files, resume=True)
        assert tree("out") == ["a.wav.jsonl", "bad.wav.error.json", "deep/a.wav.jsonl"]
    write(["other"], "out", [FileTags("other/a.wav", 1.0, GOOD)], resume=True)
    assert tree("out")[0].startswith("_outside/") and len(tree("out")) == 4


@pytest.mark.parametrize("length", [243, 244, 249, 250, 255])
@pytest.mark.parametrize("letter", ["m", "é"])
def test_names_of_any_length_have_a_result_that_is_found_again(here, letter, length):
    name = (letter * 255).encode()[:length].decode("utf-8", "ignore")
    other = name[:-1] + "x"
    results = [FileTags(f"in/{name}", 1.0, GOOD), FileTags(f"in/{other}", 1.0, GOOD)]
    failed = FileTags(f"in/{name}", None, (), error="no audio")
    write(["in"], "out", [failed])
    write(["in"], "out", results, resume=True)
    names = tree("out")
    assert len(names) == 2 and not [x for x in names if "error" in x]
    stamps = [os.stat(Path("out", x)).st_mtime_ns for x in names]
    write(["in"], "out", results, resume=True)
    assert [os.stat(Path("out", x)).st_mtime_ns for x in names] == stamps


def test_paths_of_any_length_have_a_result_that_is_found_again(here):
    deep = "in/" + "/".join(["d" * 200] * 20)
    results = [FileTags(f"{deep}/{name}.wav", 1.0, GOOD) for name in "ab"]
    write(["in"], "out", results)
    assert len(tree("out")) == 2 and tree("out")[0].startswith("_long/")
    with plan_output(["in"], "out", None, True).open(ENGINE, TagOptions()) as out:
        assert all(out.has(Path(result.path)) for result in results)


def test_names_are_shortened_only_where_they_must_be():
    assert fitting("a" * (NAME_BYTES - 6), ".jsonl") == "a" * (NAME_BYTES - 6) + ".jsonl"
    short = fitting("a" * NAME_BYTES, ".jsonl")
    assert len(short) == NAME_BYTES and short.endswith(".jsonl")


@pytest.mark.parametrize("format", ["csv", "raven", "audacity", "table", "html", "jsonl", "json"])
def test_every_output_is_valid_unicode(here, format):
    odd = FileTags("in/caf\udce9.wav", 1.0, (Tag("\ud800=", None, 0.5),), warning="\udc80")
    write(["in/x.wav"], "x", [odd], format=format)
    (path,) = (path for path in Path("x").iterdir() if path.name != IN_FOLDER)
    assert path.read_bytes().decode("utf-8")


def test_a_mark_for_excel(here):
    with plan_output(["in"], "x.csv", None, False, bom=True).open(ENGINE, TagOptions()) as out:
        out.write(A)
    whole = Path("x.csv").read_bytes()
    assert whole.startswith(b"\xef\xbb\xbfpath,")
    write(["in"], "x.csv", [A], resume=True)
    assert Path("x.csv").read_bytes() == whole
    with pytest.raises(ValueError, match="--format csv"):
        plan_output(["in"], "x.json", None, False, bom=True)
