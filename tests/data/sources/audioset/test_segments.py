"""AudioSet's segment lists as Google ships them, and files named by YouTube id."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.data.sources.audioset.segments import AudioSetSegment, read_segments
from audiotag.errors import AudioError, DataError
from audiotag.label_set import Labels
from tests.support.made_recordings import failures_of, noise, rows_of

RATE = 8000  # Hz
HEADER = (
    "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    "# num_ytids=22160, num_segs=22160, num_unique_labels=527, num_positive_labels=52882\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)
LINES = {
    "balanced": '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_,/m/0bt9lr,/m/0jbk"\n'
    '-_0A_B-_xyZ, 30.500, 40.500, "/m/0bt9lr"\n'
    'Y1234567890, 20.000, 30.000, "/m/04rlf"\n',
    "eval": '__p-iA312kg, 70.000, 80.000, "/m/04rlf,/m/09x0r"\n'
    'gone-gone_1, 5.000, 15.000, "/m/04rlf"\n',
}
NAMES = (
    "--4gqARaEJE_0.000_10.000.wav",
    "deep/Y-_0A_B-_xyZ.flac",
    "Y1234567890.ogg",
    "__p-iA312kg_70000.wav",
    "no id at all.wav",
)


@pytest.fixture
def folder(tmp_path):
    """Audio named in the usual ways, and the lists beside it."""
    folder = tmp_path / "audio"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        soundfile.write(folder / name, noise(number), RATE)
    (folder / "balanced_train_segments.csv").write_text(HEADER + LINES["balanced"])
    (tmp_path / "eval_segments.csv").write_text(HEADER + LINES["eval"])
    return folder


def test_lists_are_read_as_they_ship(folder):
    assert list(read_segments(folder / "balanced_train_segments.csv")) == [
        AudioSetSegment("--4gqARaEJE", 0, 10, ("/m/068hy", "/m/07q6cd_", "/m/0bt9lr", "/m/0jbk")),
        AudioSetSegment("-_0A_B-_xyZ", 30.5, 40.5, ("/m/0bt9lr",)),
        AudioSetSegment("Y1234567890", 20, 30, ("/m/04rlf",)),
    ]


def test_files_are_found_by_id_and_the_missing_recorded(folder, tmp_path):
    out = prepare(open_audioset(folder), tmp_path / "data", RATE)
    assert {row["key"]: (row["split"], tuple(row["labels"])) for row in rows_of(out)} == {
        "--4gqARaEJE": (
            "train",
            ("Domestic animals, pets", "Squeak", "Dog", "Animal"),
        ),
        "-_0A_B-_xyZ": ("train", ("Dog",)),
        "Y1234567890": ("train", ("Music",)),
        "__p-iA312kg": ("eval", ("Music", "Speech")),
    }
    (gone,) = failures_of(out)
    assert (gone["source"], gone["kind"]) == ("gone-gone_1", "missing")
    assert read_labels(out).names == Labels.audioset().names


def test_subsets_and_classes(folder, tmp_path):
    assert len(open_audioset(folder, ["eval"])) == 2
    assert len(open_audioset(folder, classes=["Dog"])) == 2
    assert len(open_audioset(folder, ["balanced"], classes=["Dog", "/m/04rlf"])) == 3
    with pytest.raises(DataError, match="no class 'Dogs'; did you mean Dog"):
        open_audioset(folder, classes=["Dogs"])
    with pytest.raises(DataError, match="unbalanced_train_segments.csv .*http.*--metadata"):
        open_audioset(folder, ["unbalanced"])
    with pytest.raises(DataError, match="eval_segments.csv"):
        open_audioset(folder / "deep", metadata=folder / "deep")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--4gqARaEJE, 0, 10", "line 4: not of the form"),
        ('--4gqARaEJE, 0, ten, "/m/04rlf"', "line 4: not of the form"),
        ('too short, 0, 10, "/m/04rlf"', "line 4: 'too short' is not a YouTube id"),
    ],
)
def test_lines_of_another_form_are_named(tmp_path, line, message):
    (tmp_path / "eval_segments.csv").write_text(HEADER + line)
    with pytest.raises(DataError, match=message):
        open_audioset(tmp_path)


def test_command(folder, tmp_path):
    words = ("prepare", "audioset", folder, tmp_path / "data", "--subset", "eval")
    result = CliRunner().invoke(cli, [*map(str, words), "--metadata", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 clips" in result.output and "1 missing" in result.output


IDS = ("abcdefghijk", "Ybcdefghijk")


def tone(seconds, first=0.0):
    """A signal of which each second has a level of its own."""
    times = first + np.arange(round(seconds * RATE)) / RATE
    return (np.floor(times + 1e-9) / 200 * np.sign(np.sin(2 * np.pi * 500 * times))).astype("f4")


def level(recording):
    """The seconds of the video that a recording holds, from its levels."""
    samples = np.abs(np.round(recording.audio.read(RATE) * 200))
    return [int(np.median(samples[i : i + RATE])) for i in range(0, len(samples) - RATE // 2, RATE)]


def listed(tmp_path, *names, seconds=10, start=30, first=None, encoding="utf-8"):
    """The recordings and failures of files, where the list has 10 s of each id."""
    for name in names:
        begin = start if first is None else first
        soundfile.write(tmp_path / name, tone(seconds, begin), RATE, subtype="FLOAT")
    lines = "".join(f'{x}, {start:.3f}, {start + 10:.3f}, "/m/04rlf"\r\n' for x in IDS[:1])
    text = HEADER.replace("\n", "\r\n") + lines
    (tmp_path / "eval_segments.csv").write_bytes(text.encode(encoding))
    source = open_audioset(tmp_path)
    return list(source.recordings(0, len(source)))


SEGMENT = list(range(30, 40))


@pytest.mark.parametrize(
    "name",
    [
        *("{}", "Y{}", "{}_30.000", "{}_30", "{}_30.000_40.000", "{}_30_40", "{}_30000_40000"),
        *("{}_30000", "{}-30.0-40.0", "Y{}_30.0", "{}_000030", "{} 30s-40s", "{}_[30-40]"),
        "{}_30.000",
    ],
)
def test_a_file_of_the_listed_seconds_is_taken_however_it_is_named(tmp_path, name):
    (clip,) = listed(tmp_path, f"{name.format(IDS[0])}.wav")
    assert (clip.key, clip.start, level(clip)) == (IDS[0], 30, SEGMENT)


@pytest.mark.parametrize(
    ("name", "first", "seconds"),
    [
        ("{}.wav", 0, 60),  # the whole video
        ("Y{}.wav", 0, 40),
        ("{}_0_60.wav", 0, 60),
        ("{}_20.000_50.000.wav", 20, 30),
        ("{}_20000_50000.wav", 20, 30),
        ("{}_30.wav", 30, 25),  # begins right, and goes on
        ("{}.wav", 30, 10.4),  # padded
    ],
)
def test_the_segment_is_cut_out_of_a_longer_file(tmp_path, name, first, seconds):
    (clip,) = listed(tmp_path, name.format(IDS[0]), seconds=seconds, first=first)
    assert level(clip) == SEGMENT


def test_a_file_that_is_neither_the_segment_nor_the_video_is_named(tmp_path):
    (clip,) = listed(tmp_path, f"{IDS[0]}.wav", seconds=20, first=0)
    with pytest.raises(AudioError, match="longer than the 10 s of its segment, and too short"):
        clip.audio.read(RATE)


def test_of_two_cuts_the_listed_one_is_taken_and_others_are_counted(tmp_path):
    names = (f"{IDS[0]}_120.wav", f"{IDS[0]}_30000.wav", f"{IDS[0]}_30.5_40.5.wav")
    clip, *failures = listed(tmp_path, *names)
    assert clip.name == names[1]
    assert [(x.source, x.kind) for x in failures] == [
        (names[0], "other time"),
        (names[2], "other time"),
    ]


def test_a_cut_of_another_time_alone_is_not_taken(tmp_path):
    missing, other = listed(tmp_path, f"{IDS[0]}_50.000_60.000.wav")
    assert (missing.kind, other.kind) == ("missing", "other time")
    assert "of other times" in missing.reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_lists_are_read_as_editors_save_them(tmp_path, encoding):
    (clip,) = listed(tmp_path, f"{IDS[0]}.wav", encoding=encoding)
    assert clip.labels == ("Music",)


def test_a_list_with_a_header_is_read(tmp_path):
    path = tmp_path / "eval_segments.csv"
    path.write_text('YTID,start_seconds,end_seconds,positive_labels\nabcdefghijk,1,11,"/m/04rlf"\n')
    assert list(read_segments(path)) == [AudioSetSegment("abcdefghijk", 1, 11, ("/m/04rlf",))]


def test_cuts_are_made_and_counted_by_the_command(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    listed(folder, f"{IDS[0]}.wav", seconds=60, first=0)
    soundfile.write(folder / f"{IDS[0]}_50.wav", tone(10, 50), RATE)
    words = map(str, ("prepare", "audioset", folder, tmp_path / "data", "--sample-rate", RATE))
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == 0 and "1 other time" in result.output, result.output
    data = ClipDataset(tmp_path / "data", "eval")
    levels = np.abs(data.read(0).reshape(10, RATE) / 2**15 * 200)
    assert len(data.keys) == 1 and np.median(levels, 1).round().astype(int).tolist() == SEGMENT
