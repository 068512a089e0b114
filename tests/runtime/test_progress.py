"""The line that says how far long work is: what it says, and where it says nothing."""

import io
import re
import sys
import time

import pytest

from audiotag.runtime.progress import progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_name_numbers_and_notes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_line("score", 400, "clips", initial=100) as line:
        line.set_postfix(loss="0.1")
        line.update(300)
    shown = sys.stderr.getvalue().split("\r")[-1]
    assert shown.startswith("score: 400 of 400 clips, ")
    assert " clips/s, 00:00 left" in shown and shown.endswith(", loss=0.1\n")


def test_a_line_that_is_not_left_is_cleared(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_line("bootstrap", 2, "resamples", is_left=False) as line:
        line.update(2)
    shown = sys.stderr.getvalue().split("\r")
    assert any(text.startswith("bootstrap: ") for text in shown)
    assert not shown[-1].strip() and not shown[-2].strip()


@pytest.mark.parametrize("is_hidden", [False, True])
def test_nothing_is_shown_in_a_file_or_where_it_is_hidden(monkeypatch, is_hidden):
    monkeypatch.setattr(sys, "stderr", Terminal() if is_hidden else io.StringIO())
    with progress_line("score", 2, "clips", is_hidden=is_hidden) as line:
        line.update(2)
    assert sys.stderr.getvalue() == ""


def test_without_a_terminal_long_work_says_in_lines_how_much_is_left(capsys):
    with progress_line("train", 4, "clips", log_every=1e-9) as line:
        for _ in range(4):
            time.sleep(0.01)
            line.update(1)
    lines = capsys.readouterr().err.splitlines()
    assert any(re.fullmatch(r"train: 2 of 4 clips, .* 00:00 left", x) for x in lines), lines
    with progress_line("train", 4, "clips") as line:
        line.update(4)
    assert capsys.readouterr().err == ""
