"""Search: which files a folder, a file or a list stands for."""

import os
from pathlib import Path

import pytest

from audiotag.audio.find_files import Skipped, find_files

TREE = (
    "b.wav",
    "a.MP3",
    "notes.txt",
    ".hidden.wav",
    ".trash/c.wav",
    "night two/é – 音.flac",
    "night two/deep/d.ogg",
    "empty/readme.md",
)


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(root: Path, *args, **options) -> list[str]:
    return [file.relative_to(root).as_posix() for file in find_files(*args, **options)]


def test_folder_is_searched_in_order_without_hidden_and_other_files(tree):
    expected = ["a.MP3", "b.wav", "night two/deep/d.ogg", "night two/é – 音.flac"]
    assert found(tree, [tree]) == expected


def test_named_files_are_given_whatever_they_are(tree):
    names = ["notes.txt", ".hidden.wav", "missing.wav"]
    assert found(tree, [tree / name for name in names]) == names


def test_named_hidden_folder_is_searched(tree):
    assert found(tree, [tree / ".trash"]) == [".trash/c.wav"]


def test_file_reached_twice_is_given_once(tree):
    again = [tree / "b.wav", tree, f"{tree}/night two/../b.wav"]
    assert sorted(found(tree, again)) == sorted(set(found(tree, [tree])))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ["*.mp3"]}, ["a.MP3"]),
        ({"include": ["*.txt", "b.*"]}, ["b.wav", "notes.txt"]),
        ({"include": ["night*/*.flac"]}, ["night two/é – 音.flac"]),
        ({"exclude": ["night two"]}, ["a.MP3", "b.wav"]),
        ({"exclude": ["*/deep/*", "b.wav"]}, ["a.MP3", "night two/é – 音.flac"]),
        ({"include": ["*.flac"], "exclude": ["night*"]}, []),
    ],
)
def test_globs(tree, options, expected):
    assert found(tree, [tree], **options) == expected


def test_globs_hold_for_named_files_too(tree):
    assert found(tree, [tree / "a.MP3", tree / "b.wav"], exclude=["A.*"]) == ["b.wav"]


def test_list_gives_files_and_folders(tree):
    listing = [f"{tree}/b.wav", f"{tree}/night two", f"{tree}/b.wav"]
    expected = ["b.wav", "night two/deep/d.ogg", "night two/é – 音.flac"]
    assert found(tree, ["-"], listing=listing) == expected


def test_link_loop_ends(tree):
    (tree / "night two" / "up").symlink_to(tree)
    (tree / "link.wav").symlink_to(tree / "b.wav")
    names = found(tree, [tree])
    assert names.count("link.wav") == 1 and not any("up/" in name for name in names)


def test_folder_that_cannot_be_listed_is_given_itself(tree, monkeypatch):
    listed = os.scandir

    def refuse(folder):
        if str(folder).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "night two/deep" in found(tree, [tree])


def test_search_is_lazy(tree):
    assert next(find_files([tree, "/nowhere"])) == tree / "a.MP3"


def test_recordings_without_a_suffix_are_found_by_their_beginning(tree, make_wav):
    make_wav(tree / "take 3.wav", 0.1).rename(tree / "take 3")
    make_wav(tree / "2024-05-12 5.30.wav", 0.1).rename(tree / "2024-05-12 5.30")
    make_wav(tree / "x.wav", 0.1).rename(tree / "x.bak")
    (tree / "Makefile").write_text("all:\n")
    (tree / "empty file").touch()
    assert {"take 3", "2024-05-12 5.30"} == set(found(tree, [tree])) - set(TREE)


def test_what_is_passed_over_is_counted_with_its_reason(tree):
    (tree / "gone.wav").symlink_to("nowhere")
    (tree / "disk").symlink_to("/mnt/no such disk")
    (tree / "circle").symlink_to("circle")
    (tree / "night two" / "up").symlink_to(tree)
    os.mkfifo(tree / "pipe.wav")
    (tree / "no suffix").touch()
    skipped = Skipped()
    files = [str(x.relative_to(tree)) for x in find_files([tree], skip=skipped.add)]
    assert "gone.wav" in files  # opening it says that it leads nowhere
    assert sorted(skipped.describe().split("; ")) == [
        f"hidden recordings: 1 ({tree}/.hidden.wav)",
        f"links that lead nowhere: 2 ({tree}/circle, {tree}/disk)",
        f"links to a folder above: 1 ({tree}/night two/up)",
        f"neither files nor folders: 1 ({tree}/pipe.wav)",
        "not audio by name: 3 (.md 1, without suffix 1, .txt 1)",
    ]
    assert "txt" not in skipped.describe(in_full=False)
    assert "circle" in skipped.describe(in_full=False)


def test_what_globs_leave_out_is_not_counted(tree):
    skipped = Skipped()
    list(find_files([tree], exclude=["*.txt", "*.md"], skip=skipped.add))
    list(find_files([tree], include=["*.mp3"], skip=skipped.add))
    assert set(skipped.describe().split(": ")) == {
        "hidden recordings",
        f"2 ({tree}/.hidden.wav, {tree}/.hidden.wav)",
    }


def test_many_suffixes_are_named_in_part(tree):
    skipped = Skipped()
    for i in range(7):
        skipped.add("not audio by name", f"a.x{i % 6}")
    assert skipped.describe().startswith("not audio by name: 7 (.x0 2, ")
    assert skipped.describe().endswith(", ...)")
