"""Tables on standard output."""

import io

from rich.console import Console

from audiotag.cli.tables.grid import print_grid


def test_labels_of_others_act_on_no_terminal():
    for encoding, dog in (("utf-8", "Hund 狗"), ("ascii", r"Hund \u72d7")):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        rows = [("Hund 狗", "1"), ("\x1b[2J\x9bcat\u202e", "2")]
        print_grid(Console(file=file, width=80, force_terminal=False), ("label", "clips"), rows)
        file.seek(0)
        text = file.read()
        assert dog in text and r"\x1b[2J\x9bcat\u202e" in text
