"""The page of results in a real browser, which is driven by its DevTools protocol."""

import csv
import io
import json
import time

import numpy as np
import pytest

from audiotag.tagging.csv_rows import EVENT_COLUMNS
from audiotag.tagging.formats import Surroundings, make_format
from audiotag.tagging.results import Event, FileTags, Tag
from tests.support.browser import PATIENCE, browser, chromium
from tests.support.pages import LABELS, SECONDS, made_page

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="needs Chromium"),
    pytest.mark.slow,
]
COUNT = 20_000
HOSTILE = "<img src=x onerror=hacked=1></script><script>hacked=1</script>\u202e=1+1"
ODD = (
    FileTags("missing.wav", 5.0, (Tag("Dog", None, 0.9),), events=()),
    FileTags("odd.wav", None, (), error=f"cannot be read {HOSTILE}"),
    FileTags(
        '=odd;"a,b\n.wav',
        2.0,
        (Tag(HOSTILE, None, 0.9),),
        events=(Event(HOSTILE, "/m/1", 0.5, 1.0, 0.9, 0.75, 0.8),),
        warning=HOSTILE,
    ),
    FileTags("\udcff.wav", 2.0, (Tag("@x", None, 0.9),), events=()),
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return made_page(tmp_path_factory.mktemp("small"), 60, ODD)


@pytest.fixture
def page(tab, small):
    """The small page, freshly opened, with nothing decided."""
    tab.look(1200, 900)
    tab.open(small.as_uri())
    tab.run("localStorage.clear()")
    tab.open(small.as_uri())
    tab.troubles.clear()
    yield tab
    assert not tab.troubles
    tab.run("audio.pause()")


def shown(tab):
    return tab.run("document.querySelector('#found').textContent")


def saved(tab, folder, name, button):
    """The text of a file that a button saves."""
    tab.save_into(folder)
    tab.run(f"byId('{button}').click()")
    end = time.monotonic() + PATIENCE
    while not (folder / name).exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    return (folder / name).read_bytes().decode()


def write(tab, selector, text):
    tab.run(f"document.querySelector('{selector}').value = ''")
    tab.click(selector)
    tab.type(text)


def test_a_click_plays_from_there_and_the_playhead_moves(page):
    page.click(".picture", 0.5)
    page.wait("!audio.paused && audio.currentTime > 10.1")
    assert page.run("audio.currentTime") < 15
    assert page.run("audio.src").endswith("/noise.wav")
    page.press(" ")
    page.wait("audio.paused")
    left = page.run("document.querySelector('.playhead').style.left")
    expected = 100 * page.run("audio.currentTime") / SECONDS
    assert float(left.rstrip("%")) == pytest.approx(expected, abs=0.1)
    slider = page.run("document.querySelector('[role=slider]').ariaValueNow")
    assert float(slider) == pytest.approx(page.run("audio.currentTime"), abs=0.1)


def test_arrows_seek(page):
    page.click(".picture", 0.5)
    page.wait("audio.currentTime > 10")
    page.press(" ")
    page.wait("audio.paused")
    before = page.run("audio.currentTime")
    page.press("ArrowLeft")
    page.press("ArrowLeft", shift=True)
    page.press("ArrowRight")
    assert page.run("audio.currentTime") == pytest.approx(before - 5, abs=0.01)


def test_j_and_k_play_one_event_after_the_other(page):
    page.press("j")
    page.wait("audio.currentTime > 1.8")
    page.wait("audio.paused")  # at the end of the event
    assert page.run("audio.currentTime") == pytest.approx(4.3, abs=0.3)
    heard = [page.run("[current.record.number, current.event.label, current.event.start]")]
    for key in "jjjk":
        page.press(key)
        heard.append(page.run("[current.record.number, current.event.label, current.event.start]"))
    dog, music, again, speech = [0, "Dog", 2], [0, "Music", 6], [0, "Dog", 10], [1, "Speech", 2]
    assert heard == [dog, music, again, speech, again]
    assert page.run("document.activeElement.title").startswith("Dog 0.05, 0:10.0 to 0:15.0")


def test_shift_j_goes_to_the_next_recording(page):
    for _ in range(12):
        page.press("J", shift=True)
    assert page.run("current.record.number") == 11
    box = page.run("JSON.stringify(document.activeElement.getBoundingClientRect())")
    assert json.loads(box)["top"] >= 0 and json.loads(box)["bottom"] <= 900


def test_search_finds_names_and_tags_and_marks_them(page):
    assert shown(page) == "64 of 64 files, 181 events"
    write(page, "#search", "SPEE")
    assert shown(page) == "12 of 64 files, 24 events"
    marks = page.run("[...document.querySelectorAll('article mark')].map(x => x.textContent)")
    assert set(marks) == {"Spee"}
    page.run("document.activeElement.blur()")
    page.press("j")
    assert page.run("[current.event.label, current.event.start]") == ["Speech", 2]
    page.press("j")
    assert page.run("[current.event.label, current.event.start]") == ["Speech", 10]  # no Music
    write(page, "#search", "missing.w")
    assert shown(page) == "1 of 64 files, 0 events"


def test_tags_are_buttons_that_filter(page):
    page.click("#chips [data-label=Rain]")
    assert shown(page) == "12 of 64 files, 24 events"
    assert page.run("document.activeElement.dataset.label") == "Rain"
    assert page.run("document.activeElement.ariaPressed") == "true"
    page.click("#chips [data-label=Music]")
    assert shown(page) == "12 of 64 files, 36 events"
    page.click("#chips [data-label=Rain]")
    page.click("#chips [data-label=Music]")
    assert shown(page).startswith("64 of 64")


def test_a_least_score_and_an_order(page):
    write(page, "#least", "0.6")
    scores = [0.1 + 0.8 * i / 59 for i in range(60)]
    kept = sum(x >= 0.6 for x in scores)
    assert shown(page) == f"{kept + 3} of 64 files, {kept + 1} events"
    page.run("byId('sort').value = 'score'; byId('sort').dispatchEvent(new Event('input'))")
    first = page.run("shown.slice(0, 8).map(x => x.best)")
    assert first == sorted(first, reverse=True) and first[0] == 0.9
    page.run("byId('sort').value = 'duration'; byId('sort').dispatchEvent(new Event('input'))")
    lengths = page.run("shown.map(x => x.duration)")
    assert lengths == sorted(lengths, reverse=True)


def test_zoom_shows_a_part_with_its_own_ticks(page):
    page.press("j")
    page.press(" ")
    page.wait("audio.paused")
    for _ in range(3):
        page.press("+")
    start, end = page.run("[current.record.seen.from, current.record.seen.to]")
    assert end - start == pytest.approx(SECONDS / 8) and start <= 3 <= end
    left, width = page.run(
        "(() => { const b = document.querySelector('.event.current').getBoundingClientRect(),"
        "t = document.querySelector('.track').getBoundingClientRect();"
        "return [(b.left - t.left) / t.width, b.width / t.width]; })()"
    )
    assert left == pytest.approx((2 - start) / (end - start), abs=0.01)
    assert width == pytest.approx(2 / (end - start), abs=0.01)
    ticks = page.run("[...document.querySelector('.axis').children].map(x => x.textContent)")
    assert "0:03.0" in ticks or "0:03" in ticks
    page.press("0")
    assert page.run("current.record.seen.to") == SECONDS


def test_what_is_shown_is_exported_as_the_csv_of_tag(page, small, tmp_path):
    text = saved(page, tmp_path, "tags.csv", "export-list")
    form = make_format("csv", Surroundings(False, 16_000, columns=EVENT_COLUMNS))
    records = page.run("records.map(({path}) => path.isWellFormed() ? path : null)")
    assert None in records
    expected = form.start() + "".join(form.add(x) for x in results_of(small))
    assert cells(text) == cells(expected)


def cells(text):
    """The cells of a csv; numbers as such, as JavaScript writes 2.0 as 2."""

    def value(cell):
        try:
            return float(cell)
        except ValueError:
            return cell

    return [[value(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]


def results_of(page):
    """The results in a page."""
    lines = page.read_text("utf-8").partition('id="records">')[2].partition("</script>")[0]
    for line in lines.strip().splitlines():
        record = json.loads(line)
        names = ("label", "mid", "start", "end", "score", "peak", "mean")
        events = tuple(Event(*(x[n] for n in names)) for x in record.get("events", ()))
        tags = tuple(Tag(x["label"], x["mid"], x["score"]) for x in record.get("tags", ()))
        yield FileTags(
            record["path"],
            record.get("duration"),
            tags,
            events=events,
            error=record.get("error"),
            warning=record.get("warning"),
        )


def test_decisions_are_kept_and_exported(page, small, tmp_path):
    page.press("j")
    for key in "rwux":  # each but the last goes on to the next event
        page.press(key)
    expected = [("Dog", "2", "right"), ("Music", "6", "wrong"), ("Dog", "10", "unsure")]
    page.open(small.as_uri())  # again
    assert page.run("byId('decided').textContent") == "3 decided"
    assert page.run("document.querySelector('.event').dataset.decision") == "right"
    rows = list(csv.DictReader(io.StringIO(saved(page, tmp_path, "decisions.csv", "export-csv"))))
    assert [(x["label"], x["start"], x["decision"]) for x in rows] == expected
    assert rows[0]["path"] == page.run("records[0].path")
    stored = json.loads(saved(page, tmp_path, "decisions.json", "export-json"))["decisions"]
    assert [(x["label"], f"{x['start']}", x["decision"]) for x in stored] == expected
    page.press("j")
    page.press("x")
    assert page.run("byId('decided').textContent") == "2 decided"


def test_pages_of_other_results_have_decisions_of_their_own(page, tmp_path):
    page.press("j")
    page.press("r")
    page.open(made_page(tmp_path, 3).as_uri())
    assert page.run("byId('decided').textContent") == "nothing decided yet"


def test_from_fifty_decisions_a_label_has_a_threshold_of_logistic_regression(page):
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(3)
    scores = random.uniform(0.05, 0.95, 60)
    logits = np.log(scores / (1 - scores))
    rights = random.random(60) < 1 / (1 + np.exp(-(1.5 * logits + 0.5)))
    fit = page.run(f"logisticFit({scores.tolist()}, {rights.astype(int).tolist()})")
    # The penalty of scikit-learn is slope**2 / (2 C).
    model = LogisticRegression(C=1 / (2 * 0.01), tol=1e-10).fit(logits[:, None], rights)
    assert fit["slope"] == pytest.approx(model.coef_[0, 0], rel=1e-3)
    assert fit["level"] == pytest.approx(model.intercept_[0], rel=1e-3, abs=1e-3)
    threshold = page.run(f"thresholdFor({json.dumps(fit)}, 0.9)")
    at = np.array([[np.log(threshold / (1 - threshold))]])
    assert model.predict_proba(at)[0, 1] == pytest.approx(0.9, abs=1e-3)
    page.run(
        "records.forEach(record => record.events.forEach(event => { if (event.label === 'Music')"
        "decisions.set(keyOf(event), record.number % 3 ? 'right' : 'wrong'); }));"
        "byId('review').open = true; showReview()"
    )
    text = page.run("document.querySelector('#thresholds tbody').textContent")
    assert text.startswith("Music40200") and "no score is enough" in text


def test_hostile_names_and_labels_are_only_text(page):
    page.run("scrollTo(0, 1e9); render()")
    page.wait("document.querySelectorAll('article .error').length === 1")
    assert page.run("typeof hacked") == "undefined"
    assert page.run("document.querySelectorAll('article img[onerror]').length") == 0
    names = page.run("[...document.querySelectorAll('h2')].map(x => x.firstChild.textContent)")
    assert '=odd;"a,b\\n.wav' in names and "\\xff.wav" in names
    warning = page.run("document.querySelector('.warning').textContent")
    assert warning == HOSTILE.replace("\u202e", "\\u202e")


def test_of_many_tags_the_first_have_lanes_until_all_are_asked_for(page):
    page.run(
        "(() => { const record = records[0]; for (let i = 0; i < 30; i++) record.events.push("
        "{ label: `tag ${i}`, start: 15 + i / 10, end: 19, score: .9 - i / 100, record });"
        "update(); })()"
    )
    lanes = "document.querySelectorAll('article:first-child .track').length"
    assert page.run(lanes) == 10
    page.click("article [data-action=lanes]")
    assert page.run(lanes) == 32
    page.click("article [data-action=lanes]")
    assert page.run(lanes) == 10
    page.run("select(records[0], records[0].events[records[0].events.length - 2])")
    page.press("j")  # to an event without a lane
    assert page.run(lanes) == 32
    assert page.run("document.activeElement.title").startswith("tag 29 0.61")
    tops = page.run("[...document.querySelectorAll('article')].map(x => x.offsetTop)")
    ends = page.run(
        "[...document.querySelectorAll('article')].map(x => x.offsetTop + x.offsetHeight)"
    )
    assert tops[1:] == ends[:-1]


def test_a_sound_that_is_gone_is_named(page):
    write(page, "#search", "missing")
    page.click("article [data-action=play]")
    page.wait("byId('trouble').textContent !== ''")
    assert "missing.wav cannot be played" in page.run("byId('trouble').textContent")
    page.troubles.clear()  # the browser reports the file as well


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_and_everything_has_a_name(page, dark):
    page.look(1200, 900, dark)
    colours = page.run(
        "Object.fromEntries(['page','text','faint','soft','accent','mark','on-mark','fail','right',"
        "'wrong','unsure'].map(x => { const e = document.createElement('i'); e.style.color ="
        "`var(--${x})`; document.body.append(e); return [x, getComputedStyle(e).color]; }))"
    )
    for text, behind in [
        *[("text", "page"), ("faint", "page"), ("text", "soft"), ("faint", "soft")],
        *[("page", "accent"), ("on-mark", "mark"), ("fail", "page"), ("fail", "soft")],
        *[("page", "right"), ("page", "wrong"), ("page", "unsure")],
    ]:
        assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
    nameless = page.run(
        "[...document.querySelectorAll('button, input, select, [role=slider]')].filter(x =>"
        "!(x.ariaLabel || x.textContent.trim() || x.closest('label'))).map(x => x.outerHTML)"
    )
    assert nameless == []


def contrast(a, b):
    """Of two colours, as in WCAG."""
    lights = sorted(map(luminance, (a, b)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour):
    values = [int(x) / 255 for x in colour[4:-1].split(",")]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_phone_shows_it_without_scrolling_sideways(page):
    page.look(390, 800, mobile=True)
    page.wait("document.querySelectorAll('article').length > 0")
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run("[...document.querySelectorAll('.over-time')].every(x => x.clientWidth > 300)")


def test_of_20_000_recordings_only_those_in_view_are_made(tab, tmp_path):
    tab.look(1200, 900)
    tab.open(made_page(tmp_path, COUNT).as_uri())
    assert shown(tab) == "20,000 of 20,000 files, 60,000 events"
    assert 3 <= tab.run("document.querySelectorAll('article').length") < 30
    tab.run("scrollTo(0, 1e9)")
    tab.wait("document.querySelector('[aria-posinset=\"20000\"]') !== null")
    assert tab.run("document.querySelectorAll('article').length") < 30
    write(tab, "#search", LABELS[3])
    assert shown(tab) == "4,000 of 20,000 files, 8,000 events"
    tab.run("document.activeElement.blur()")
    tab.press("k")
    tab.press("j")
    assert tab.run("current.record.number") == 3
    tab.press("r")
    rows = saved(tab, tmp_path, "tags.csv", "export-list").splitlines()
    assert len(rows) == 8_001
    decided = saved(tab, tmp_path, "decisions.csv", "export-csv").splitlines()
    assert len(decided) == 2
    assert tab.run("document.querySelectorAll('*').length") < 2_000
