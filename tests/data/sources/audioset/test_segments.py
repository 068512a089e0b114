"""AudioSet's segment lists as Google ships them, and files named by YouTube id."""

import pytest
import soundfile
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.data.dataset import read_labels
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.data.sources.audioset.segments import AudioSetSegment, read_segments
from audiotag.errors import DataError
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
