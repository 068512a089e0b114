"""A result in a notebook: a bar for each score.

The text has the notebook's colour; the bars are of a blue that is visible on white and on black.
"""

from collections.abc import Iterable
from html import escape

from audiotag.runtime.escapes import visible

BAR = 160  # px of a score of 1
STYLES = {
    "box": "display:inline-grid;grid-template-columns:auto auto auto;gap:2px 10px;"
    "align-items:center;font-size:90%;line-height:1.3",
    "whole": "grid-column:1/-1",
    "track": f"width:{BAR}px;background:rgba(128,128,128,.25)",
}


def bars(heading: str, scores: Iterable[tuple[str, float]], note: str = "") -> str:
    """HTML of labels with their scores, in [0, 1], below a heading, with a note after them."""
    rows = "".join(_row(label, score) for label, score in scores)
    last = _line(_escaped(note)) if note else ""
    return f'<div style="{STYLES["box"]}">{_line(f"<b>{_escaped(heading)}</b>")}{rows}{last}</div>'


def _row(label: str, score: float) -> str:
    filled = f"width:{score * BAR:.0f}px;height:.8em;background:#4a90d9"
    return (
        f"<span>{_escaped(label)}</span>"
        f'<span style="{STYLES["track"]}"><span style="display:block;{filled}"></span></span>'
        f"<span>{score:.3f}</span>"
    )


def _line(text: str) -> str:
    return f'<span style="{STYLES["whole"]}">{text}</span>'


def _escaped(text: str) -> str:
    """Text for a page, which holds valid Unicode only, as a file name need not be."""
    return escape(visible(text.encode("utf-8", "replace").decode()))
