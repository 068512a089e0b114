"""Clips, cut out of recordings by stored results, beside the samples of the recordings."""

import csv
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.errors import DataError
from audiotag.tagging.clips import ClipOptions, cut_clips
from audiotag.tagging.stored_results import read_results
from tests.support.audio_files import write_av

RATE = 44_100
EVENTS = [
    {"label": label, "start": start, "end": end, "score": score}
    for label, start, end, score in (
        ("Bark", 1.0, 1.75, 0.9),
        ("Bark", 3.2, 3.9, 0.4),
        ("Rain", 0.0, 5.0, 0.6),
    )
]


@pytest.fixture
def recording(tmp_path) -> Path:
    path = tmp_path / "night 1.wav"
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (5 * RATE, 2))
    soundfile.write(path, sound, RATE, subtype="PCM_24")
    return path


def stored(folder: Path, path: Path, form: str, events=EVENTS) -> Path:
    """Results in a format of `audiotag tag`."""
    record = {"path": str(path), "duration": 5.0, "tags": [], "events": events}
    out = folder / f"events.{form}"
    if form == "csv":
        with open(out, "w", newline="") as file:
            rows = csv.DictWriter(file, ("path", "start", "end", "label", "score", "error"))
            rows.writeheader()
            for event in events:
                kept = {name: event[name] for name in ("start", "end", "label", "score")}
                rows.writerow({"path": path, **kept})
    else:
        out.write_text(json.dumps([record] if form == "json" else record) + "\n")
    return out


def clips(*arguments):
    return CliRunner().invoke(cli, ["clips", *map(str, arguments)])


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_clips_are_the_samples_of_their_recording(recording, tmp_path, form):
    result = clips(stored(tmp_path, recording, form), "--out", tmp_path / "clips")
    assert result.exit_code == 0, result.output
    whole, _ = soundfile.read(recording, always_2d=True)
    names = sorted(
        str(x.relative_to(tmp_path / "clips")) for x in (tmp_path / "clips").rglob("*.flac")
    )
    assert names == [
        "Bark/night 1 00001.000-00001.750.flac",
        "Bark/night 1 00003.200-00003.900.flac",
        "Rain/night 1 00000.000-00005.000.flac",
    ]
    for name, event in zip(names, EVENTS, strict=True):
        part, rate = soundfile.read(tmp_path / "clips" / name, always_2d=True)
        begin, end = round(event["start"] * RATE), round(event["end"] * RATE)
        assert rate == RATE and soundfile.info(tmp_path / "clips" / name).subtype == "PCM_24"
        np.testing.assert_array_equal(part, whole[begin:end])


def test_labels_scores_padding_and_number_are_chosen(recording, tmp_path):
    results = stored(tmp_path, recording, "jsonl")
    options = ("--label", "Dog", "--min-score", 0.3, "--padding", 2, "--most", 1, "--format", "wav")
    assert clips(results, "--out", tmp_path / "clips", *options).exit_code == 0
    (clip,) = (tmp_path / "clips").rglob("*.wav")  # Bark is below Dog in the ontology
    assert clip.name == "night 1 00000.000-00003.750.wav"
    assert soundfile.info(clip).frames == round(3.75 * RATE)


def test_floating_point_samples_are_kept_as_they_are(tmp_path):
    path = tmp_path / "loud.wav"
    sound = np.random.default_rng(0).normal(0, 3, 5 * RATE).astype(np.float32)
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    options = ClipOptions(frozenset({"Bark"}), most=1, format="wav")
    (clip,) = cut_clips(stored(tmp_path, path, "jsonl"), tmp_path / "clips", options)
    part, _ = soundfile.read(clip.path, dtype="float32")
    np.testing.assert_array_equal(part, sound[RATE : round(1.75 * RATE)])


def test_recordings_that_ffmpeg_alone_reads_are_cut_by_their_times(tmp_path):
    path = tmp_path / "night.m4a"
    sound = np.zeros((5 * 48_000, 1))
    sound[round(3.5 * 48_000) :][:480] = 0.8
    write_av(path, "aac", "mp4", None, sound, 48_000)
    options = ClipOptions(frozenset({"Bark"}))
    paths = [
        clip.path for clip in cut_clips(stored(tmp_path, path, "jsonl"), tmp_path / "c", options)
    ]
    part, rate = soundfile.read(paths[1])
    assert len(part) == pytest.approx(0.7 * rate, abs=0.05 * rate)
    assert np.argmax(np.abs(part)) / rate == pytest.approx(0.3, abs=0.03)


def test_what_cannot_be_cut_is_said_and_the_rest_is(recording, tmp_path):
    results = tmp_path / "events.jsonl"
    events = [{**EVENTS[0], "start": 8.0, "end": 9.0}]
    lines = [
        {"path": str(tmp_path / "gone.wav"), "tags": [], "events": EVENTS[:1]},
        {"path": str(recording), "tags": [], "events": events},
        {"path": str(recording), "tags": [], "events": EVENTS[:1]},
        {"path": "x.wav", "error": "cannot be decoded"},
    ]
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = clips(results, "--out", tmp_path / "clips")
    assert result.exit_code == 1
    assert "gone.wav: cannot be opened (No such file or directory)" in result.output
    assert "ends before 8.000 s; is it the recording that was tagged?" in result.output
    assert result.output.endswith(f"1 clip, 2 failed: {tmp_path / 'clips'}\n")


def test_hostile_labels_stay_in_the_folder(recording, tmp_path):
    events = [
        {**EVENTS[0], "label": label} for label in ("../../out", "/etc/x", "..", "a\x1b[31mb")
    ]
    assert (
        clips(stored(tmp_path, recording, "jsonl", events), "--out", tmp_path / "c").exit_code == 0
    )
    found = [path for path in tmp_path.rglob("*.flac")]
    assert len(found) == 4 and all((tmp_path / "c") in path.parents for path in found)
    assert all(path.name.isprintable() and path.parent.name.isprintable() for path in found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"path": "a.wav", "tags": []}\n{"pa', "line 2 is no result of audiotag tag"),
        ("a.jsonl", "[" * 100_000, "line 1 is no result"),
        ("a.json", "{}", "holds no results of audiotag tag"),
        ("a.csv", "file,name\n1,2\n", "has no columns path, label and score"),
        ("a.csv", "path,label,score\na.wav,Dog,loud\n", "line 2 is no result"),
        ("a.txt", "", "is none of .jsonl, .json, .csv"),
        ("a.jsonl", '{"path": "a.wav", "tags": []}\n', "has no such sound"),
        (
            "a.jsonl",
            '{"path": "a.wav", "tags": [{"label": "Dog", "score": 0.5}]}\n',
            "tag again with --events or --timeline",
        ),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        list(cut_clips(tmp_path / name, tmp_path / "clips", ClipOptions()))


def test_decisions_leave_out_what_is_not_right(recording, tmp_path):
    rows = "path,start,end,label,score,decision\n"
    for second, decision in enumerate(("right", "wrong", "unsure")):
        rows += f"{recording},{second}.0,{second}.5,Bark,0.5,{decision}\n"
    (tmp_path / "decisions.csv").write_text(rows)
    (stored_file,) = read_results(tmp_path / "decisions.csv")
    assert [found.start for found in stored_file.found] == [0.0]


def test_decisions_in_json_are_those_in_csv_and_say_more_than_a_guess(tmp_path):
    said = (("a.wav", "right", True), ("a.wav", "wrong", False), ("b.wav", "right", False))
    rows = [
        {"path": path, "start": i, "end": i + 0.5, "label": "Bark", "score": 0.5}
        | {"guess": guess, "decision": decision}
        for i, (path, decision, guess) in enumerate(said)
    ]
    (tmp_path / "d.json").write_text(json.dumps({"made_with": "x", "decisions": rows}))
    names = ",".join(rows[0])
    lines = [",".join(str(x).lower().replace("false", "") for x in row.values()) for row in rows]
    (tmp_path / "d.csv").write_text("\n".join([names, *lines]) + "\n")
    expected = [("a.wav", [0.0]), ("b.wav", [2.0])]
    for name in ("d.json", "d.csv"):
        stored = list(read_results(tmp_path / name))
        assert [(x.path, [y.start for y in x.found]) for x in stored] == expected
    (tmp_path / "d.json").write_text('{"decisions": [{"path": "a.wav"}]}')
    with pytest.raises(DataError, match="no results"):
        list(read_results(tmp_path / "d.json"))


@pytest.mark.slow
def test_from_recordings_to_a_data_set_in_three_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample, rate = soundfile.read(str(files("audiotag") / "assets/samples/cat.mp3"))
    random = np.random.default_rng(0)
    for number in range(2):
        sound = random.normal(0, 1e-3, 8 * rate)
        sound[(2 + number) * rate :][: len(sample)] += sample / 2
        (tmp_path / "night").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "night" / f"{number}.wav", sound, rate)
    for line in (
        "tag night --events --label Meow --output events.jsonl",
        "clips events.jsonl --out clips",
        "prepare folder clips data",
    ):
        result = CliRunner().invoke(cli, line.split())
        assert result.exit_code == 0, (line, result.output)
    assert "data: 2 clips" in result.output and "1 labels" in result.output


def test_a_recording_that_has_changed_is_not_cut(recording, tmp_path):
    results = stored(tmp_path, recording, "jsonl")
    soundfile.write(recording, np.zeros((7 * RATE, 2)), RATE)
    result = clips(results, "--out", tmp_path / "clips")
    assert result.exit_code == 1
    assert "night 1.wav: lasts 7.0 s, and 5.0 s when it was tagged; tag it again" in result.output
    assert not list(tmp_path.rglob("*.flac"))


def test_a_channel_is_cut_as_it_was_tagged(recording, tmp_path):
    whole, _ = soundfile.read(recording)
    options = ("--label", "Rain", "--channel", 2)
    results = stored(tmp_path, recording, "jsonl")
    assert clips(results, "--out", tmp_path / "c", *options).exit_code == 0
    (clip,) = (tmp_path / "c").rglob("*.flac")
    part, rate = soundfile.read(clip)
    assert rate == RATE and part.ndim == 1
    np.testing.assert_allclose(part, whole[:, 1], atol=1e-4)
