"""Sequences of short recordings, and how often training draws what a teacher hears."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.label_set import Labels

RECIPE = Path(__file__).parents[2] / "recipes" / "default"
HEADER = "path,label,split,group,start,end\n"


@pytest.fixture
def script(monkeypatch):
    """Loads a script of the recipe and gives it a command line."""

    def load(name, *arguments):
        spec = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        return module

    return load


def test_recordings_that_differ_by_a_number_follow_each_other(script, tmp_path):
    """Short ones of the training sources alone; the same corpus gives the same sequences again."""
    folder = tmp_path / "audio" / "owner+game"
    folder.mkdir(parents=True)
    rows = []
    for name, seconds in (("step_1", 0.3), ("step_2", 0.4), ("wind", 5.0), ("voice", 0.5)):
        time = np.arange(int(seconds * 32_000)) / 32_000
        soundfile.write(folder / f"{name}.wav", np.sin(2000 * time) * np.exp(-8 * time), 32_000)
        rows.append(f"audio/owner+game/{name}.wav,,train,owner/game,,")
    rows.append("audio/owner+game/step_1.wav,,dev,other/game,,")
    table = tmp_path / "corpus.csv"
    table.write_text(HEADER + "\n".join(rows) + "\n")
    script("sequences", tmp_path).main()
    first = table.read_text()
    with table.open(newline="") as file:
        made = [row for row in csv.DictReader(file) if row["path"].startswith("audio/sequences/")]
    assert [(row["split"], row["group"]) for row in made] == [("train", "owner/game")]
    samples, rate = soundfile.read(tmp_path / made[0]["path"])
    assert rate == 32_000 and 5 <= len(samples) / rate <= 10
    loud = np.abs(samples).reshape(-1)[: rate * 4].reshape(8, -1).max(1)
    assert (loud > 0.1).sum() >= 3
    (tmp_path / made[0]["path"]).unlink()
    script("sequences", tmp_path).main()
    assert table.read_text() == first
    np.testing.assert_array_equal(soundfile.read(tmp_path / made[0]["path"])[0], samples)


def test_histogram_counts_clips_and_the_share_that_is_drawn(script, tmp_path, capsys):
    names = Labels.audioset().names
    scores = np.zeros((20, 527), np.float32)
    scores[:14, names.index("Speech")] = 0.9
    scores[14:, names.index("Rain")] = 0.4
    keys = np.array([str(i) for i in range(20)])
    np.savez(tmp_path / "scores.npz", keys=keys, labels=np.array(names), scores=scores)
    out = tmp_path / "histogram.tsv"
    script("histogram", RECIPE / "balanced.toml", tmp_path / "scores.npz", out).main()
    with out.open(newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert len(rows) == 527
    assert (rows["Rain"]["clips_0.3"], rows["Rain"]["clips_0.5"]) == ("6", "0")
    assert float(rows["Speech"]["share_of_draws"]) == pytest.approx(0.2, abs=1e-5)
    assert float(rows["Rain"]["share_of_draws"]) == pytest.approx(0.8, abs=1e-5)
    assert "2 classes of 5 clips or more at 0.3" in capsys.readouterr().out
