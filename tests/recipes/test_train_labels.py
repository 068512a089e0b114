"""Labels of training clips by the words in their paths."""

import csv
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from audiotag.label_set import Labels

FOLDER = Path(__file__).parents[2] / "recipes" / "default"


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    spec = spec_from_file_location("train_labels", FOLDER / "train_labels.py")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def words(script):
    """The words and their classes."""
    return script.read_words(FOLDER / "train_words.tsv")


def test_all_classes_are_audiosets(words):
    known = set(Labels.audioset().names)
    assert {name for _, names in words for name in names} <= known


@pytest.mark.parametrize(
    "path,labels",
    [
        ("audio/game/usr/sounds/dog_bark3.ogg", {"Dog", "Bark"}),
        ("audio/o+repo/assets/thunderStorm/far-01.wav", {"Thunder", "Thunderstorm", "Rain"}),
        ("audio/o+repo/rain/x/y/z.wav", set()),  # only the two folders above count
        ("audio/dog-data/a.wav", set()),  # nor does the source's name
        ("audio/game/carpet.ogg", set()),  # whole words
    ],
)
def test_words_of_a_path_give_labels(script, words, path, labels):
    assert set(script.labels_of(path, words)) >= labels
    assert labels or not script.labels_of(path, words)


def test_fills_the_column_of_training_clips(script, monkeypatch, tmp_path):
    table = tmp_path / "corpus.csv"
    rows = ["path,label,split,group,start,end"]
    rows += [f"audio/a/cat.ogg,,{split},a,," for split in ("train", "dev")]
    rows += ["audio/sequences/cat/beef.ogg,,train,a,,", "audio/a/x.ogg,Old,train,a,,"]
    table.write_text("\n".join(rows))
    monkeypatch.setattr(sys, "argv", ["train_labels.py", str(table)])
    script.main()
    with table.open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["Cat;Meow", "", "", ""]
