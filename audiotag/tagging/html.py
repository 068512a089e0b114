"""A page of results: each recording with its spectrogram, its tags, and when they were heard.

The page is one file that needs no network, with a folder beside it for what is too much for one
file. It plays the recordings from their place: links are relative to the page's folder, so page and
recordings can be moved together. Results are lines of JSON in it, which its script shows; nothing
of them is ever read as markup, and no script but its own can run.
"""

import base64
import hashlib
import json
import os
from functools import lru_cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audiotag.audio.in_memory import URL
from audiotag.tagging.page_files import PageFiles
from audiotag.tagging.provenance import Provenance
from audiotag.tagging.results import NO_TAG, FileTags, Tag, rounded_score, rounded_time
from audiotag.tagging.text import heard_parts, in_markup

SCRIPTS = ("records", "rows", "list", "player", "review", "export", "main")  # in their order
STANDARD_INPUT = "-"
ID_DIGITS = 16
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; "
    "img-src 'self' file: http: https: data:; media-src 'self' file: http: https:"
)


class Html:
    """A page with an article for each recording.

    Args:
        folder: Where the page will lie.
        provenance: Shown at the page's end.
        kept: Makes pictures and previews; None for a page without them.
    """

    def __init__(
        self, folder: Path, provenance: Provenance | None = None, kept: PageFiles | None = None
    ) -> None:
        self._folder, self._provenance = folder, provenance
        self._kept = PageFiles() if kept is None else kept
        self._hash = hashlib.sha256()  # of all results

    def start(self) -> str:
        """The page's beginning."""
        digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
        page = _asset("page.html").replace("POLICY", POLICY.format(digest), 1)
        return page.replace("STYLE", _asset("page.css"), 1)

    def add(self, result: FileTags) -> str:
        """A recording's line."""
        record = _record(result)
        self._hash.update(json.dumps(record).encode())
        if result.error is None:
            record["link"] = self._link(result.path)
            record |= self._kept.of(result)
        return in_markup(json.dumps(record, separators=(",", ":"))) + "\n"

    def end(self) -> str:
        """The page's end."""
        about = {
            "id": self._hash.hexdigest()[:ID_DIGITS],
            "no_tag": NO_TAG,
            "folder": None if self._provenance is None else self._provenance.folder,
            "made_with": None if self._provenance is None else self._provenance.title,
        }
        return (
            f'</script>\n<script type="application/json" id="about">'
            f"{in_markup(json.dumps(about))}</script>\n{self._footer()}"
            f"<script>{_script()}</script>\n</body>\n</html>\n"
        )

    def _footer(self) -> str:
        if self._provenance is None:
            return ""
        title, text = self._provenance.title, escape(self._provenance.to_json())
        return (
            f"<footer><details><summary>{in_markup(escape(title))}</summary>"
            f'<pre id="made-with">{text}</pre></details></footer>\n'
        )

    def _link(self, path: str) -> str | None:
        """Where the page finds a recording; None if it was no file."""
        if path == STANDARD_INPUT or URL.match(path):
            return None
        try:
            relative = os.path.relpath(path, self._folder)
        except ValueError:  # on another drive of Windows
            return Path(path).absolute().as_uri()
        return quote(os.fsencode(relative.replace(os.sep, "/")))


def _record(result: FileTags) -> dict[str, Any]:
    """What the page knows of a recording: as in jsonl, but with the times of each tag as events."""
    record = result.to_dict()
    record.pop("segments", None)
    if result.error is None and result.events is None:
        record["events"] = _spans(result)
    return record


def _spans(result: FileTags) -> list[dict[str, Any]]:
    """The times at which each tag was heard, with its highest score; windows that touch are joined.

    Windows in which a tag is a guess count only if it is a guess of the file as well.
    """
    guesses = {tag.label for tag in result.tags if tag.guess}
    found: list[tuple[float, float, Tag]] = []
    last: dict[str, int] = {}  # place in `found`
    for part, tag in heard_parts(result, guesses=True):
        if tag.guess and tag.label not in guesses:
            continue
        place = last.get(tag.label)
        if place is not None and part.start <= found[place][1]:
            start, end, best = found[place]
            found[place] = (start, max(end, part.end), max(best, tag, key=lambda x: x.score))
        else:
            last[tag.label] = len(found)
            found.append((part.start, part.end, tag))
    return [_event(*span) for span in found]


def _event(start: float, end: float, tag: Tag) -> dict[str, Any]:
    times = {"start": rounded_time(start), "end": rounded_time(end)}
    guess = {"guess": True} if tag.guess else {}
    values = {"label": tag.label, "mid": tag.mid, "score": rounded_score(tag.score)}
    return {**values, **times, **guess}


@lru_cache
def _script() -> str:
    return "\n".join(_asset(f"{name}.js") for name in SCRIPTS)


@lru_cache
def _asset(name: str) -> str:
    return (files("audiotag") / "assets" / "page" / name).read_text(encoding="utf-8")
