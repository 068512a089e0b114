"""Formats, read back by json, csv and plain splitting."""

import csv
import io
import json

import av
import pytest

from audiotag.label_set import Labels
from audiotag.tagging.csv_rows import EVENT_COLUMNS
from audiotag.tagging.formats import FORMATS, SUFFIXES, Surroundings, format_of, make_format
from audiotag.tagging.results import Event, FileTags, Segment, Tag
from audiotag.tagging.text import clock, to_json

SPEECH, ODD = Tag("Speech", "/m/09x0r", 0.987654321), Tag('Say "a, b"\tnow', None, 0.5)
PLAIN = FileTags("a folder/é, 音.wav", 12.3456789, (SPEECH, ODD))
TIMELINE = FileTags(
    "b.flac",
    15.0,
    (SPEECH,),
    (Segment(0.0, 10.0, (SPEECH, ODD)), Segment(5.0, 15.0, ())),
)
SILENT = FileTags("silent.wav", 3.0, ())
FAILED = FileTags("bad.mp3", None, (), error='no "audio", none')
ALL = (PLAIN, TIMELINE, SILENT, FAILED)


def written(name: str, results=ALL, single=False) -> str:
    form = make_format(name, Surroundings(single, sample_rate=32_000))
    return form.start() + "".join(map(form.add, results)) + form.end()


EXPECTED = [
    {
        "path": "a folder/é, 音.wav",
        "duration": 12.346,
        "tags": [
            {"label": "Speech", "mid": "/m/09x0r", "score": 0.98765},
            {"label": 'Say "a, b"\tnow', "mid": None, "score": 0.5},
        ],
    },
    {
        "path": "b.flac",
        "duration": 15.0,
        "tags": [{"label": "Speech", "mid": "/m/09x0r", "score": 0.98765}],
        "segments": [
            {
                "start": 0.0,
                "end": 10.0,
                "tags": [
                    {"label": "Speech", "mid": "/m/09x0r", "score": 0.98765},
                    {"label": 'Say "a, b"\tnow', "mid": None, "score": 0.5},
                ],
            },
            {"start": 5.0, "end": 15.0, "tags": []},
        ],
    },
    {"path": "silent.wav", "duration": 3.0, "tags": []},
    {"path": "bad.mp3", "error": 'no "audio", none'},
]


def test_jsonl_is_the_contract():
    lines = written("jsonl").splitlines()
    assert [json.loads(line) for line in lines] == EXPECTED
    assert "é, 音" in lines[0]  # readable


def test_json_is_an_array_or_one_object():
    assert json.loads(written("json")) == EXPECTED
    assert json.loads(written("json", [])) == []
    assert json.loads(written("json", [PLAIN], single=True)) == EXPECTED[0]


def test_names_that_are_not_unicode_come_back():
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    text = to_json(FileTags(name, 1.0, ()))
    assert json.loads(text.encode("utf-8"))["path"] == name


def test_csv_has_a_row_for_each_file_and_tag():
    rows = list(csv.DictReader(io.StringIO(written("csv"), newline="")))
    columns = ["path", "start", "end", "label", "mid", "score", "error", "warning", "guess"]
    assert list(rows[0]) == columns
    got = [(r["path"], r["start"], r["end"], r["label"], r["score"]) for r in rows]
    assert got == [
        ("a folder/é, 音.wav", "0.0", "12.346", "Speech", "0.98765"),
        ("a folder/é, 音.wav", "0.0", "12.346", 'Say "a, b"\tnow', "0.5"),
        ("b.flac", "0.0", "10.0", "Speech", "0.98765"),
        ("b.flac", "0.0", "10.0", 'Say "a, b"\tnow', "0.5"),
        ("silent.wav", "0.0", "3.0", "", ""),
        ("bad.mp3", "", "", "", ""),
    ]
    assert [row["mid"] for row in rows[:2]] == ["/m/09x0r", ""]
    assert [row["error"] for row in rows] == [""] * 5 + ['no "audio", none']


def test_audacity_labels_have_start_end_and_text():
    lines = [line.split("\t") for line in written("audacity", [TIMELINE], single=True).splitlines()]
    assert [(float(start), float(end), text) for start, end, text in lines] == [
        (0.0, 10.0, "Speech 0.99"),
        (0.0, 10.0, 'Say "a, b" now 0.50'),
    ]
    assert written("audacity", [FAILED], single=True) == ""


def test_raven_counts_selections_and_runs_times_on():
    text = written("raven", [TIMELINE, FAILED, TIMELINE])
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [row["Selection"] for row in rows] == ["1", "2", "3", "4"]
    assert {(row["View"], row["Channel"]) for row in rows} == {("Spectrogram 1", "1")}
    assert {(row["Low Freq (Hz)"], row["High Freq (Hz)"]) for row in rows} == {("0", "16000")}
    assert [float(row["Begin Time (s)"]) for row in rows] == [0, 0, 15, 15]
    assert [float(row["End Time (s)"]) for row in rows] == [10, 10, 25, 25]
    assert [float(row["File Offset (s)"]) for row in rows] == [0] * 4
    assert all(row["Begin Path"].endswith("/b.flac") for row in rows)
    assert [row["Score"] for row in rows] == ["0.9877", "0.5000"] * 2


def test_table_is_for_reading():
    assert written("table").splitlines() == [
        "a folder/é, 音.wav  (0:12.3)",
        "  0.988  Speech",
        '  0.500  Say "a, b"\tnow',
        "b.flac  (0:15.0)",
        "  0.988  Speech",
        '  0:00.0 - 0:10.0  Speech 0.99, Say "a, b"\tnow 0.50',
        "  0:05.0 - 0:15.0  -",
        "silent.wav  (0:03.0)",
        "  no tag of the labels asked for",
        "bad.mp3",
        '  failed: no "audio", none',
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (75.25, "1:15.2"), (36_061.5, "10:01:01.5")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_suffixes_name_their_format():
    assert {name: format_of(f"out{suffix.upper()}") for name, suffix in SUFFIXES.items()} == {
        name: name for name in FORMATS
    }
    assert format_of("out.xlsx") is None


@pytest.mark.parametrize(("rate", "high"), [(8000, "4000"), (44_100, "16000"), (None, "16000")])
def test_raven_gets_no_frequency_that_a_recording_has_not(rate, high):
    result = FileTags("a.wav", 1.0, (SPEECH,), sample_rate=rate)
    rows = list(csv.DictReader(io.StringIO(written("raven", [result])), delimiter="\t"))
    assert [row["High Freq (Hz)"] for row in rows] == [high]


DOUBTFUL = FileTags("a.wav", 1.0, (SPEECH,), warning="=ends early")


def test_a_warning_is_in_every_format_that_can_carry_it():
    assert json.loads(written("jsonl", [DOUBTFUL]))["warning"] == "=ends early"
    assert json.loads(written("json", [DOUBTFUL], single=True))["warning"] == "=ends early"
    (row,) = csv.DictReader(io.StringIO(written("csv", [DOUBTFUL]), newline=""))
    assert row["warning"] == "'=ends early"  # no spreadsheet runs it
    assert "  warning: =ends early\n" in written("table", [DOUBTFUL])
    failed = FileTags("a.wav", None, (), error="no", warning="also")
    assert json.loads(written("jsonl", [failed])) == {
        "path": "a.wav",
        "error": "no",
        "warning": "also",
    }


HOSTILE = "\x1b]0;x\x07\x9b2J\u202e\nend"


@pytest.mark.parametrize("name", ["table", "jsonl", "json"])
def test_nothing_acts_on_a_terminal(name):
    tag = Tag(HOSTILE, None, 0.5)
    results = [
        FileTags(HOSTILE, 1.0, (tag,), (Segment(0.0, 1.0, (tag,)),), warning=HOSTILE),
        FileTags(HOSTILE, None, (), error=HOSTILE),
    ]
    text = written(name, results)
    assert not set(text) & set(HOSTILE) & set("\x1b\x07\x9b\u202e")
    if name == "json":
        assert [record["path"] for record in json.loads(text)] == [HOSTILE] * 2


def test_label_tracks_and_selections_are_run_by_no_spreadsheet():
    result = FileTags("a.wav", 1.0, (Tag("=1+1", None, 0.5),))
    assert written("audacity", [result], single=True).split("\t")[2] == "'=1+1 0.50\n"
    (row,) = csv.DictReader(io.StringIO(written("raven", [result])), delimiter="\t")
    assert row["Label"] == "'=1+1"


def of_audioset(*scores):
    labels = Labels.audioset()
    return tuple(Tag(n, labels[labels.index(n)].mid, score) for n, score in scores)


def test_in_the_table_a_tag_stands_behind_those_above_it():
    tags = of_audioset(
        ("Animal", 0.95), ("Dog", 0.7), ("Bark", 0.65), ("Speech", 0.6), ("Howl", 0.3)
    )
    result = FileTags("a.wav", 2.0, tags, (Segment(0.0, 2.0, tags[:2]),))
    assert written("table", [result]).splitlines()[1:] == [
        "  0.650  Animal (0.95) > Dog > Bark",
        "  0.600  Speech",
        "  0.300  Howl",
        "  0:00.0 - 0:02.0  Animal (0.95) > Dog 0.70",
    ]
    assert [tag["label"] for tag in json.loads(written("jsonl", [result]))["tags"]] == [
        tag.label for tag in tags
    ]
    own = FileTags("a.wav", 2.0, (Tag("Dog", None, 0.9), Tag("Bark", None, 0.8)))
    assert len(written("table", [own]).splitlines()) == 3  # of no ontology


def test_a_guess_is_marked_and_formats_for_other_programs_leave_it_out():
    guess = Tag("Dog", "/m/0bt9lr", 0.05, guess=True)
    segments = (Segment(0.0, 1.0, (guess,)), Segment(1.0, 2.0, (Tag("Cat", None, 0.9),)))
    result = FileTags("a.wav", 2.0, (guess,), segments)
    assert written("table", [result]).splitlines()[1:3] == [
        "  0.050  Dog ?",
        "  0:00.0 - 0:01.0  Dog ? 0.05",
    ]
    record = json.loads(written("jsonl", [result]))
    assert record["tags"][0]["guess"] is True and "guess" not in record["segments"][1]["tags"][0]
    rows = list(csv.DictReader(io.StringIO(written("csv", [result]))))
    assert [row["guess"] for row in rows] == ["true", ""]
    assert "Dog ?" in repr(result) and "Dog ?" in result._repr_html_()
    for name in ("audacity", "raven"):
        every = make_format(name, Surroundings(True, 32_000, guesses=True)).add(result)
        assert "Dog" in every and "Cat" in every
        assert "Dog" not in (left := written(name, [result], single=True)) and "Cat" in left


EVENTS = FileTags(
    "night.wav",
    4000.0,
    (SPEECH,),
    events=(
        Event("Speech", "/m/09x0r", 1.5, 3.25, 0.9, 2.0, 0.7),
        Event("a <b> & c --> d", None, 3725.0, 3725.1, 0.5, 3725.0, 0.5),
    ),
)
TIMES = [(1.5, 3.25), (3725.0, 3725.1)]


def test_events_in_json_lines():
    assert json.loads(written("jsonl", [EVENTS]))["events"] == [
        event.to_dict() for event in EVENTS.events
    ]
    assert "events" not in json.loads(written("jsonl", [PLAIN]))


def test_a_row_of_a_csv_for_each_event():
    form = make_format("csv", Surroundings(False, 32_000, columns=EVENT_COLUMNS))
    text = form.start() + form.add(EVENTS) + form.add(FileTags("none.wav", 2.0, (), events=()))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(float(row["start"]), float(row["end"])) for row in rows[:2]] == TIMES
    assert [row["label"] for row in rows] == ["Speech", "a <b> & c --> d", ""]
    assert (rows[0]["score"], rows[0]["peak"], rows[0]["mean"]) == ("0.9", "2.0", "0.7")


@pytest.mark.parametrize("name,start,end", [("audacity", 0, 1), ("raven", 3, 4)])
def test_a_selection_for_each_event(name, start, end):
    lines = written(name, [EVENTS], single=True).splitlines()[name == "raven" :]
    cells = [line.split("\t") for line in lines]
    assert [(float(x[start]), float(x[end])) for x in cells] == TIMES


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles_are_read_by_ffmpeg(name, tmp_path):
    file = tmp_path / f"x.{name}"
    file.write_text(written(name, [EVENTS], single=True), encoding="utf-8")
    with av.open(str(file)) as container:
        packets = [x for x in container.demux(subtitles=0) if x.size]
        times = [
            (float(x.pts * x.time_base), float((x.pts + x.duration) * x.time_base)) for x in packets
        ]
        texts = [bytes(x).decode() for x in packets]
    assert times == [pytest.approx(TIMES[0]), pytest.approx((3725.0, 3725.5))]  # seen for 0.5 s
    assert texts[0] == "Speech 0.90"
    assert texts[1] == (
        "a <b> & c -> d 0.50" if name == "srt" else "a &lt;b&gt; &amp; c -&gt; d 0.50"
    )


def test_the_table_lists_events():
    text = written("table", [EVENTS])
    assert "0:01.5 - 0:03.2  0.900  Speech" in text
    assert "1:02:05.0 - 1:02:05.1  0.500  a <b> & c --> d" in text
