"""The page of results, read back by html.parser."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from audiotag.tagging.formats import Surroundings, make_format
from audiotag.tagging.results import FileTags, Segment, Tag

DOG, RAIN = Tag("Dog", "/m/0bt9lr", 0.9), Tag("<b>Rain & wind</b>", None, 0.4)
VOID = {"meta", "input"}


class Page(HTMLParser):
    """Articles as (tag, attributes, text) of what is in them; every element must be closed."""

    def __init__(self, text):
        super().__init__()
        self.articles, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "article":
            self.articles.append([])
        if tag not in VOID:
            self.open.append(tag)
        if self.articles:
            self.articles[-1].append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.articles and "article" in self.open:
            self.articles[-1][-1][2] += data

    def find(self, number, tag):
        return [(attrs, text.strip()) for name, attrs, text in self.articles[number] if name == tag]


def page(*results, folder=Path()):
    form = make_format("html", Surroundings(False, 32_000, folder))
    return Page(form.start() + "".join(map(form.add, results)) + form.end())


def test_tags_are_bars_as_long_as_their_scores():
    found = page(FileTags("a.wav", 3.0, (DOG, RAIN), (Segment(0.0, 3.0, (DOG, RAIN)),)))
    assert [text for _, text in found.find(0, "dt")] == [DOG.label, RAIN.label]
    assert [text for _, text in found.find(0, "dd")] == ["0.90", "0.40"]
    widths = [re.search(r"width:([\d.]+)%", attrs["style"])[1] for attrs, _ in found.find(0, "i")]
    assert [float(width) for width in widths] == pytest.approx([90, 40])
    assert found.find(0, "small")[0][1] == "0:03.0"


def test_windows_that_meet_are_one_block_at_their_times():
    windows = [Segment(2.0 * i, 2.0 * i + 4, ()) for i in range(9)]  # 0 to 20 s
    heard = {1: 0.5, 2: 0.8, 7: 0.3}
    segments = tuple(
        Segment(part.start, part.end, (Tag("Dog", None, heard[i]),) if i in heard else ())
        for i, part in enumerate(windows)
    )
    found = page(FileTags("a.wav", 20.0, (Tag("Dog", None, 0.8),), segments))
    blocks = [attrs for attrs, _ in found.find(0, "button")]
    assert [float(x["data-start"]) for x in blocks] == [2.0, 14.0]
    places = [
        [float(x) for x in re.findall(r"(?:left|width):([\d.]+)", b["style"])] for b in blocks
    ]
    assert places == [[10, 30], [70, 20]]  # % of 20 s
    assert "0.80" in blocks[0]["title"] and "0.30" in blocks[1]["title"]


def test_tags_of_windows_alone_are_shown_after_the_file_s():
    segments = (Segment(0.0, 2.0, (DOG, RAIN)), Segment(2.0, 4.0, (Tag(RAIN.label, None, 0.6),)))
    found = page(FileTags("a.wav", 4.0, (DOG,), segments))
    assert [text for _, text in found.find(0, "dt")] == [DOG.label, RAIN.label]
    assert [text for _, text in found.find(0, "dd")] == ["0.90", "0.60"]


@pytest.mark.parametrize(
    "name", ["a b.wav", "50% & <c>.wav", "é'\"#?.wav", os.fsdecode(b"\xff.wav")]
)
def test_players_find_the_recordings_from_where_the_page_lies(tmp_path, name):
    sound, pages = tmp_path / "sounds" / name, tmp_path / "pages"
    sound.parent.mkdir()
    pages.mkdir()
    sound.write_bytes(b"x")
    found = page(FileTags(str(sound), 1.0, ()), folder=pages)
    link = found.find(0, "audio")[0][0]["src"]
    assert (pages / os.fsdecode(unquote_to_bytes(link))).samefile(sound)
    assert not re.search(r"[\s?#&<>\"]", link)


def test_files_without_tags_and_files_that_failed_say_so():
    found = page(FileTags("a.wav", 1.0, ()), FileTags("b.wav", None, (), error="<script>"))
    assert "no tag" in found.find(0, "p")[0][1] and not found.find(0, "dl")
    assert found.articles[1][0][1] == {"class": "failed"}
    assert "<script>" in "".join(text for _, _, text in found.articles[1])
    assert not found.find(1, "audio")


def test_page_needs_nothing_else():
    text = make_format("html", Surroundings(False, 32_000)).start()
    assert not re.search(r"https?:|//|src=|href=|@import", text)


def test_warnings_and_odd_names_are_shown():
    found = page(FileTags("a\u202egpj.wav", 1.0, (DOG,), warning="<ends> early"))
    assert found.find(0, "h2")[0][1] == r"a\u202egpj.wav"
    assert ({"class": "warning"}, "<ends> early") in found.find(0, "p")


def test_a_guess_is_marked_and_no_guess_of_a_window_has_a_row(tmp_path):
    guess, cat = Tag("Dog", None, 0.05, guess=True), Tag("Cat", None, 0.9)
    segments = (Segment(0.0, 1.0, (guess,)), Segment(1.0, 2.0, (cat,)))
    form = make_format("html", Surroundings(False, 32_000, tmp_path))
    sure = form.add(FileTags("a.wav", 2.0, (cat,), segments))
    assert "Dog" not in sure and "guess" not in sure
    unsure = form.add(FileTags("a.wav", 2.0, (guess,), segments[:1] * 2))
    assert '<dt class="guess"' in unsure and unsure.count("<button") == 1
    assert ".guess::after" in form.start()
