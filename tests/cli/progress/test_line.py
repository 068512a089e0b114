"""The line that says how far a command is, on a terminal and in a log file."""

import sys

import pytest

from audiotag.audio.find_files import BROKEN, NOT_AUDIO, Skipped
from audiotag.cli.progress import line
from audiotag.cli.progress.files import Progress
from audiotag.cli.progress.line import CLEAR, REFRESH, StatusLine
from audiotag.tagging.results import FileTags


@pytest.fixture
def clock(monkeypatch):
    """Seconds of a clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(line.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes standard error, as a test sees it, a terminal."""
    return lambda: monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_a_text_takes_the_place_of_the_last_on_a_terminal(terminal, clock, capsys):
    terminal()
    status = StatusLine()
    assert status.is_live and not status.is_due
    clock[0] += REFRESH
    assert status.is_due
    status.show("one")
    assert not status.is_due
    status.show("two")
    status.clear()
    status.keep("three")
    assert capsys.readouterr().err == f"{CLEAR}one{CLEAR}two{CLEAR}{CLEAR}three\n"


def test_a_log_file_gets_a_line_now_and_then(clock, capsys):
    status = StatusLine(log_every=30)
    assert not status.is_live
    clock[0] += 29
    assert not status.is_due
    clock[0] += 1
    assert status.is_due
    status.show("one")
    status.clear()
    status.keep("two")
    assert capsys.readouterr().err == "one\ntwo\n"


def test_without_a_terminal_nothing_is_due(clock):
    status = StatusLine()
    clock[0] += 1000
    assert not status.is_due


def test_a_line_is_no_longer_than_the_terminal_is_wide(terminal, clock, monkeypatch, capsys):
    terminal()
    monkeypatch.setattr(line, "_width", lambda: 20)
    StatusLine().show("音" * 30)
    assert capsys.readouterr().err == f"{CLEAR}{'音' * 9} "
    StatusLine().show("a\x1b[2J\u202e\t\nb")
    assert capsys.readouterr().err == rf"{CLEAR}a\x1b[2J\u202e \nb"[: len(CLEAR) + 19]


def test_doubts_and_failures_are_named_and_act_on_nothing(capsys):
    progress = Progress(None)
    doubtful = FileTags("a\x1b.wav", 1.0, (), warning="ends early\n")
    progress.follow((x for x in [doubtful]), lambda result: None)
    assert capsys.readouterr().err == r"a\x1b.wav: warning: ends early\n" + "\n"
    assert progress.exit_code == 0


def test_what_was_passed_over_is_reported(capsys):
    skipped = Skipped()
    skipped.add(NOT_AUDIO, "a.txt")
    skipped.add(BROKEN, "disk\x1b")
    Progress(None, skipped).report("tags.csv")
    assert capsys.readouterr().err.splitlines() == [
        "0 files done: tags.csv",
        r"Passed over: not audio by name: 1 (.txt 1); links that lead nowhere: 1 (disk\x1b)",
    ]
    Progress(None, skipped).report(None)
    assert capsys.readouterr().err == "Passed over: links that lead nowhere: 1 (disk\\x1b)\n"


def results():
    yield FileTags("a.wav", 2.0, ())
    yield FileTags("b.wav", None, (), error="damaged")


def test_the_line_makes_room_for_each_result_and_goes_at_the_end(terminal, clock, capsys):
    terminal()
    progress = Progress(count=None)
    progress.follow(results(), lambda result: print(result.path, file=sys.stderr))
    assert capsys.readouterr().err == (
        f"{CLEAR}0 of ? files{CLEAR}a.wav\n{CLEAR}1 of ? files{CLEAR}b.wav\nb.wav: damaged\n"
        f"{CLEAR}2 of ? files{CLEAR}"
    )
    assert progress.summary() == "1 file done, 1 failed" and progress.exit_code == 1


def test_where_a_file_is_and_how_fast_it_goes(terminal, clock, tmp_path, capsys):
    terminal()
    progress = Progress(count=None)
    with progress:
        clock[0] += 2.0
        progress.heard(tmp_path / "long.wav", 120.0)
        assert capsys.readouterr().err.endswith(
            f"{CLEAR}0 of ? files, 60 x real time, long.wav at 2:00.0"
        )
