"""A page of results: each recording with a player, its tags, and when they were heard.

The page is one file that needs no network. It plays the recordings from their place: links are
relative to the page's folder, so page and recordings can be moved together.
"""

import os
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from audiotag.runtime.escapes import visible
from audiotag.tagging.provenance import Provenance
from audiotag.tagging.results import NO_TAG, FileTags, Segment, Tag
from audiotag.tagging.text import clock, heard_parts, label_text, parts

PAGE_FILE = "page.html"  # its beginning: style and search


class Html:
    """A page with an article for each recording.

    Args:
        folder: Where the page will lie.
        provenance: Shown at the page's end.
    """

    def __init__(self, folder: Path, provenance: Provenance | None = None) -> None:
        self._folder, self._provenance = folder, provenance

    def start(self) -> str:
        """The page's beginning."""
        return (files("audiotag") / "assets" / PAGE_FILE).read_text(encoding="utf-8")

    def add(self, result: FileTags) -> str:
        """One article."""
        name = _text(result.path)
        if result.error is not None:
            return f'<article class="failed"><h2>{name}</h2>{_text(result.error)}</article>\n'
        rows = "".join(_row(tag, result) for tag in _heard(result))
        return (
            f"<article><h2>{name} <small>{clock(result.duration or 0.0)}</small></h2>\n"
            f'<audio controls preload="none" src="{self._link(result.path)}"></audio>\n'
            + _warning(result)
            + (f"<dl>\n{rows}</dl>" if rows else f"<p>{NO_TAG}</p>")
            + "</article>\n"
        )

    def end(self) -> str:
        """The page's end."""
        return f"</main>\n{self._footer()}</html>\n"

    def _footer(self) -> str:
        if self._provenance is None:
            return ""
        title, text = _text(self._provenance.title), escape(self._provenance.to_json())
        return (
            f"<footer><details><summary>{title}</summary>"
            f'<pre id="made-with">{text}</pre></details></footer>\n'
        )

    def _link(self, path: str) -> str:
        relative = os.path.relpath(path, self._folder)
        return escape(quote(os.fsencode(relative.replace(os.sep, "/"))))


def spans(
    label: str, segments: tuple[Segment, ...], guesses: bool = False
) -> list[tuple[float, float, float]]:
    """The times at which a label was heard, as (start, end, highest score), in s; windows that
    touch are joined.

    With `guesses`, also the windows in which it is a guess.
    """
    found: list[tuple[float, float, float]] = []
    for part in segments:
        found_tag = next((tag for tag in part.tags if tag.label == label), None)
        if found_tag is None or (found_tag.guess and not guesses):
            continue
        score = found_tag.score
        if found and part.start <= found[-1][1]:
            start, end, highest = found.pop()
            found.append((start, max(end, part.end), max(highest, score)))
        else:
            found.append((part.start, part.end, score))
    return found


def _heard(result: FileTags) -> list[Tag]:
    """The file's tags; then tags that only its windows have, except guesses, each with its highest
    score."""
    known = {tag.label for tag in result.tags}
    others: dict[str, Tag] = {}
    heard = (tag for _, tag in heard_parts(result, guesses=False) if tag.label not in known)
    for tag in heard:
        if tag.label not in others or tag.score > others[tag.label].score:
            others[tag.label] = tag
    return [*result.tags, *sorted(others.values(), key=lambda tag: -tag.score)]


def _row(tag: Tag, result: FileTags) -> str:
    """Name, bar and score: the bar is the score, or where there are several windows the times."""
    if len(result.segments) > 1 or result.events is not None:
        bar = "".join(
            _block(label_text(tag), *span, result.duration or 0.0)
            for span in spans(tag.label, parts(result), tag.guess)
        )
    else:
        bar = f'<i style="left:0;width:{100 * tag.score:.1f}%"></i>'
    label = escape(label_text(tag))
    guess = ' class="guess" title="below its threshold"' if tag.guess else ""
    return f'<dt{guess}>{label}</dt><div class="track">{bar}</div><dd>{tag.score:.2f}</dd>\n'


def _warning(result: FileTags) -> str:
    return f'<p class="warning">{_text(result.warning)}</p>\n' if result.warning else ""


def _block(label: str, start: float, end: float, score: float, duration: float) -> str:
    left, width = 100 * start / duration, 100 * (end - start) / duration
    title = f"{escape(label)} {score:.2f}, {clock(start)} to {clock(end)}"
    style = f"left:{left:.3f}%;width:{width:.3f}%;opacity:{0.25 + 0.75 * score:.2f}"
    return f'<button title="{title}" data-start="{start:.3f}" style="{style}"></button>'


def _text(text: str) -> str:
    """Text of a page; what is not valid Unicode, and what would turn a line round, is shown as an
    escape."""
    return escape(visible(text))
