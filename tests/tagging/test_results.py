"""Results as Python shows them: dictionaries, text, and bars in a notebook."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from audiotag.tagging.notebook import BAR
from audiotag.tagging.results import FileEmbedding, FileTags, Segment, Tag
from audiotag.tagging.text import to_json

DOG, RAIN = Tag("Dog", "/m/0bt9lr", 0.87654321), Tag("<b>Rain & hail</b>", None, 0.25)
RESULTS = [
    FileTags("a.wav", 3.14159265, (DOG, RAIN)),
    FileTags("a.wav", 20.0, (DOG,), (Segment(0.0, 10.00049, (DOG,)), Segment(10.0, 20.0, ()))),
    FileTags("a.wav", 1.0, ()),
    FileTags("a.wav", None, (), error="the file is empty"),
]


class Page(HTMLParser):
    """The elements, balanced, and the text of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.styles: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.styles += [value for name, value in attrs if name == "style"]
        assert {name for name, _ in attrs} <= {"style"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("result", RESULTS)
def test_a_dictionary_says_what_jsonl_says(result):
    assert json.loads(to_json(result)) == result.to_dict()


def test_a_dictionary_has_rounded_numbers():
    assert RESULTS[0].to_dict() == {
        "path": "a.wav",
        "duration": 3.142,
        "tags": [
            {"label": "Dog", "mid": "/m/0bt9lr", "score": 0.87654},
            {"label": "<b>Rain & hail</b>", "mid": None, "score": 0.25},
        ],
    }
    assert [part["end"] for part in RESULTS[1].to_dict()["segments"]] == [10.0, 20.0]
    assert RESULTS[3].to_dict() == {"path": "a.wav", "error": "the file is empty"}


def test_results_are_one_line_of_text():
    assert [repr(result) for result in RESULTS] == [
        "<FileTags of a.wav, 3.1 s: Dog 0.877, <b>Rain & hail</b> 0.250>",
        "<FileTags of a.wav, 20.0 s, 2 segments: Dog 0.877>",
        "<FileTags of a.wav, 1.0 s: no tag>",
        "<FileTags of a.wav, failed: the file is empty>",
    ]


def test_embeddings_are_lists_and_one_line_of_text():
    windows = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = FileEmbedding("a.wav", 20.0, windows.mean(0), windows, np.array([0.0, 10.0]))
    assert repr(found) == "<FileEmbedding of a.wav, 20.0 s: 2 windows of 3 values>"
    assert json.loads(json.dumps(found.to_dict())) == {
        "path": "a.wav",
        "duration": 20.0,
        "clip": [1.5, 2.5, 3.5],
        "window_starts": [0.0, 10.0],
        "windows": [[0, 1, 2], [3, 4, 5]],
    }
    failed = FileEmbedding("b.wav", None, error="is torn")
    assert failed.to_dict() == {"path": "b.wav", "error": "is torn"}
    assert repr(failed) == "<FileEmbedding of b.wav, failed: is torn>"


def test_a_notebook_shows_bars_as_long_as_the_scores():
    page = Page(RESULTS[0]._repr_html_())
    assert not page.open
    assert page.texts == ["a.wav, 3.1 s", "Dog", "0.877", "<b>Rain & hail</b>", "0.250"]
    widths = [re.search(r"(?<!-)width:(\d+)px;height", style) for style in page.styles]
    assert [int(width[1]) for width in widths if width] == [round(0.87654 * BAR), BAR // 4]


def test_a_notebook_shows_colours_for_light_and_dark():
    """Text has the notebook's own colour, and what is filled is seen on both."""
    html = RESULTS[0]._repr_html_()
    assert not re.search(r"(?<!-)\bcolor:", html) and "class=" not in html
    colours = re.findall(r"background:([^;\"]+)", html)
    assert set(colours) == {"#4a90d9", "rgba(128,128,128,.25)"}
    red, green, blue = (int(part, 16) / 255 for part in ("4a", "90", "d9"))
    linear = [((x + 0.055) / 1.055) ** 2.4 for x in (red, green, blue)]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))  # of WCAG 2.1
    assert 1.05 / (luminance + 0.05) >= 3 and (luminance + 0.05) / 0.05 >= 3


def test_a_notebook_shows_failures_silence_and_odd_names():
    assert Page(RESULTS[3]._repr_html_()).texts == ["a.wav", "the file is empty"]
    assert Page(RESULTS[2]._repr_html_()).texts[1] == "no tag of the labels asked for"
    odd = FileTags("<script>\udcff.wav", 1.0, (DOG,))._repr_html_()
    assert Page(odd).texts[0] == "<script>?.wav, 1.0 s"
    odd.encode("utf-8")
