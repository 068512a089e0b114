"""The page of results, as a browser reads it: markup by html.parser, results by json."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import soundfile

from audiotag.audio.sources import USUAL
from audiotag.features.spectrogram import Spectrogram
from audiotag.tagging import page_files
from audiotag.tagging.formats import Surroundings, make_format
from audiotag.tagging.results import Event, FileTags, Segment, Tag

DOG, RAIN = Tag("Dog", "/m/0bt9lr", 0.9), Tag("<b>Rain & wind</b>", None, 0.4)
VOID = {"meta", "input"}


class Page(HTMLParser):
    """The scripts of a page, as (attributes, text); every element must be closed.

    Attributes:
        scripts: Program and data.
        records: Lines of JSON.
        elements: Names and attributes of all elements.
    """

    def __init__(self, text):
        super().__init__()
        self.scripts, self.elements, self.open, self.policy = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []
        (records,) = [x for attrs, x in self.scripts if attrs.get("id") == "records"]
        self.records = [json.loads(line) for line in records.splitlines() if line]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += data


def text_of(*results, **around):
    form = make_format("html", Surroundings(False, 32_000, **around))
    return form.start() + "".join(map(form.add, results)) + form.end()


def page(*results, **around):
    return Page(text_of(*results, **around))


def test_a_recording_has_its_tags_and_their_times():
    (found,) = page(FileTags("a.wav", 3.0, (DOG, RAIN), (Segment(0, 3, (DOG, RAIN)),))).records
    assert found["duration"] == 3.0 and "segments" not in found
    assert [(x["label"], x["score"]) for x in found["tags"]] == [("Dog", 0.9), (RAIN.label, 0.4)]
    dog = {"label": "Dog", "mid": "/m/0bt9lr", "score": 0.9, "start": 0, "end": 3}
    assert found["events"][0] == dog


def test_windows_that_meet_are_one_event_at_their_times():
    windows = [Segment(2.0 * i, 2.0 * i + 4, ()) for i in range(9)]  # 0 to 20 s
    heard = {1: 0.5, 2: 0.8, 7: 0.3}
    segments = tuple(
        Segment(part.start, part.end, (Tag("Dog", None, heard[i]),) if i in heard else ())
        for i, part in enumerate(windows)
    )
    (found,) = page(FileTags("a.wav", 20.0, (Tag("Dog", None, 0.8),), segments)).records
    spans = [(x["start"], x["end"], x["score"]) for x in found["events"]]
    assert spans == [(2.0, 8.0, 0.8), (14.0, 18.0, 0.3)]


def test_events_stay_as_they_are():
    event = Event("Dog", None, 1.0, 2.5, 0.7, 1.5, 0.6)
    (found,) = page(FileTags("a.wav", 9.0, (DOG,), events=(event,))).records
    assert found["events"] == [event.to_dict()]


@pytest.mark.parametrize(
    "name", ["a b.wav", "50% & <c>.wav", "é'\"#?.wav", os.fsdecode(b"\xff.wav")]
)
def test_players_find_the_recordings_from_where_the_page_lies(tmp_path, name):
    sound, pages = tmp_path / "sounds" / name, tmp_path / "pages"
    sound.parent.mkdir()
    pages.mkdir()
    sound.write_bytes(b"x")
    (found,) = page(FileTags(str(sound), 1.0, ()), folder=pages).records
    assert (pages / os.fsdecode(unquote_to_bytes(found["link"]))).samefile(sound)
    assert not re.search(r"[\s?#&<>\"]", found["link"])
    assert found["path"] == str(sound)


@pytest.mark.parametrize("path", ["-", "https://example.org/a.wav"])
def test_what_is_no_file_has_no_link(path):
    assert page(FileTags(path, 1.0, ())).records[0]["link"] is None


def test_files_that_failed_say_so():
    (found,) = page(FileTags("b.wav", None, (), error="<script>")).records
    assert found == {"path": "b.wav", "error": "<script>"}


HOSTILE = "</script><script>alert(1)</script><!--<script>"


def test_nothing_of_a_result_is_markup():
    event = Event(HOSTILE, HOSTILE, 0.0, 1.0, 0.5, 0.5, 0.5)
    results = [
        FileTags(HOSTILE, 1.0, (Tag(HOSTILE, HOSTILE, 0.5),), events=(event,), warning=HOSTILE),
        FileTags(HOSTILE, None, (), error=HOSTILE),
    ]
    found, empty = page(*results), page()
    assert found.elements == empty.elements
    assert found.records[0]["tags"][0]["label"] == found.records[1]["error"] == HOSTILE


def test_page_needs_nothing_else_and_runs_no_other_script():
    text = text_of(FileTags("a.wav", 3.0, (DOG,)))
    found = Page(text)
    attributes = [name for _, attrs in found.elements for name in attrs]
    assert not {"src", "href", "onclick", "onload"} & set(attributes)
    assert not re.search(r"https?://|@import|url\(|innerHTML|eval\(|insertAdjacentHTML", text)
    (program,) = [x for attrs, x in found.scripts if not attrs]
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    (policy,) = [a["content"] for _, a in found.elements if "http-equiv" in a]
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}';" in policy


def test_pages_of_the_same_results_have_the_same_id_and_others_another():
    ids = [
        json.loads(next(x for a, x in page(result).scripts if a.get("id") == "about"))["id"]
        for result in (FileTags("a.wav", 3.0, (DOG,)),) * 2 + (FileTags("a.wav", 3.0, (RAIN,)),)
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_guess_is_marked_and_no_guess_of_a_window_alone_has_a_time():
    guess, cat = Tag("Dog", None, 0.05, guess=True), Tag("Cat", None, 0.9)
    segments = (Segment(0.0, 1.0, (guess,)), Segment(1.0, 2.0, (cat,)))
    (sure,) = page(FileTags("a.wav", 2.0, (cat,), segments)).records
    assert [x["label"] for x in sure["events"]] == ["Cat"]
    (unsure,) = page(FileTags("a.wav", 2.0, (guess,), segments)).records
    assert unsure["tags"][0]["guess"] and unsure["events"][0]["guess"]


def drawn(path, seed=0, columns=40):
    levels = np.random.default_rng(seed).integers(0, 16, (64, columns), np.uint8)
    return FileTags(str(path), 1.0, (DOG,), spectrogram=Spectrogram(levels, 0.025, 16e3))


def pixels(data):
    from PIL import Image

    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def test_pictures_lie_in_the_page_until_they_are_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(page_files, "INLINED", 3_000)
    results = [drawn(tmp_path / f"{i}.wav", i) for i in range(3)]
    found = page(*results, folder=tmp_path, page="t.html").records
    heads = [x["picture"].partition(",")[0] for x in found]
    assert heads[0] == "data:image/png;base64" and heads[2].startswith("t_files/")
    inside = base64.b64decode(found[0]["picture"].partition(",")[2])
    for data, result in ((inside, results[0]), ((tmp_path / heads[2]).read_bytes(), results[2])):
        expected = page_files.palette()[result.spectrogram.levels[::-1]]
        assert np.array_equal(pixels(data), expected)  # the highest band is the highest row
    assert found[0]["pictured"] == 1.0  # 40 columns of 25 ms


def test_without_a_place_for_files_all_pictures_lie_in_the_page(monkeypatch):
    monkeypatch.setattr(page_files, "INLINED", 0)
    (found,) = page(drawn("a.wav")).records
    assert found["picture"].startswith("data:")


def test_what_browsers_do_not_play_has_a_preview_that_sounds_the_same(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 32_000)
    for name in ("a.aiff", "a.wav"):
        soundfile.write(tmp_path / name, tone, 32_000)
    results = [FileTags(str(tmp_path / name), 1.0, ()) for name in ("a.aiff", "a.wav", "no.aiff")]
    found = page(*results, folder=tmp_path, page="t.html", listening=USUAL).records
    assert ["preview" in x for x in found] == [True, False, False]
    heard, rate = soundfile.read(tmp_path / found[0]["preview"])
    assert rate == 32_000 and np.abs(heard - tone).max() < 1e-4
    assert "preview" not in page(*results, folder=tmp_path, page="t.html").records[0]


def test_damaged_recordings_have_no_preview(tmp_path, caplog):
    (tmp_path / "a.aiff").write_bytes(b"FORM")
    result = FileTags(str(tmp_path / "a.aiff"), 1.0, ())
    (found,) = page(result, folder=Path(tmp_path), page="t.html", listening=USUAL).records
    assert "preview" not in found and "no preview" in caplog.text
    assert not list((tmp_path / "t_files").glob("*"))
