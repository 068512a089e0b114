"""What is said of a data set, against counts made another way."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from click.testing import CliRunner

from audiotag.cli import cli
from audiotag.data.prepare.prepare import prepare
from audiotag.data.recordings import Recording, SamplesAudio
from audiotag.data.summary import summarise
from audiotag.errors import AudioTagError, DataError
from tests.support.made_recordings import RATE, ListSource, noise, recording, rows_of

NAMES = tuple(f"label {i:02d}" for i in range(60))


def made(tmp_path, count=80, names=NAMES):
    """Clips of noise with no label to four, in three splits and two folds, and two failures."""
    rng = np.random.default_rng(0)
    items = []
    for i in range(count):
        labels = tuple(rng.choice(names, rng.integers(0, 5), replace=False).tolist())
        audio = SamplesAudio(noise(i, 0.2 + 0.01 * i), RATE)
        split = ("train", "valid", "eval")[i % 3]
        items.append(Recording(f"{i}.wav", audio, labels, split, 1 + i % 2 if i > 9 else None))
    items += [recording(0, 0.0), items[5]]
    return prepare(ListSource(items, NAMES), tmp_path / "made", RATE)


def test_counts_are_those_of_the_index(tmp_path):
    folder = made(tmp_path)
    summary, rows = summarise(folder), rows_of(folder)
    labels = Counter(name for row in rows for name in row["labels"])
    assert {x.name: x.clips for x in summary.labels} == {name: labels[name] for name in NAMES}
    assert [x.clips for x in summary.labels] == sorted(labels.values(), reverse=True) + [0] * (
        len(NAMES) - len(labels)
    )
    assert summary.clips == len(rows) == 80
    durations = np.array([row["duration"] for row in rows])
    assert summary.hours == pytest.approx(durations.sum() / 3600)
    expected = np.quantile(durations, [0, 0.05, 0.5, 0.95, 1])
    np.testing.assert_allclose(summary.durations, expected)
    assert summary.unlabelled == sum(not row["labels"] for row in rows)
    assert summary.labels_per_clip == pytest.approx(sum(labels.values()) / 80)
    about = json.loads((folder / "dataset.json").read_text())
    for part in summary.splits:
        mine = durations[[row["split"] == part.name for row in rows]]
        assert (part.clips, part.hours) == (len(mine), pytest.approx(mine.sum() / 3600))
        assert part.keys == about["splits"][part.name]["keys"]
    for part in summary.folds:
        mine = durations[[str(row["fold"]) == part.name for row in rows]]
        assert (part.clips, part.hours) == (len(mine), pytest.approx(mine.sum() / 3600))
    assert [part.name for part in summary.folds] == ["1", "2"]
    pairs = Counter(p for row in rows for p in combinations(sorted(row["labels"]), 2))
    assert [x.clips for x in summary.pairs] == [n for _, n in pairs.most_common(10)]
    assert all(pairs[x.first, x.second] == x.clips for x in summary.pairs)
    assert summary.failures == {"duplicate": 1, "empty": 1}


def test_command_in_all_its_forms(tmp_path):
    folder = made(tmp_path)

    def run(*options):
        result = CliRunner().invoke(cli, ["data", str(folder), *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    said = run()
    for word in ("made", "80 clips", "60 labels", "train", "keys", "median", "40 more: --all"):
        assert word in said
    assert "duplicate" in said and "together" in said
    assert all(name in run("--all") for name in NAMES)
    lines = run("--markdown").splitlines()
    assert lines[0].startswith("80 clips, ") and "| split | clips | hours | keys |" in lines
    assert json.loads(run("--json"))["clips"] == 80
    assert run("--plot", str(tmp_path / "many.png"))
    assert (tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(cli, ["data", str(folder), "--json", "--markdown"])
    assert result.exit_code == 2 and "give one" in result.output


def test_few_labels_are_drawn_by_name(tmp_path):
    folder = made(tmp_path, 20, NAMES[:4])
    (folder / "labels.json").write_text(json.dumps(NAMES[:4]))
    arguments = ["data", str(folder), "--plot", str(tmp_path / "few.svg")]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert (tmp_path / "few.svg").read_text().startswith("<?xml")
    wrong = CliRunner().invoke(cli, ["data", str(folder), "--plot", "x.gif"])
    assert isinstance(wrong.exception, AudioTagError)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="not a prepared data set"):
        summarise(tmp_path)
    empty = prepare(ListSource([recording(0, 0.0)]), tmp_path / "empty", RATE)
    with pytest.raises(DataError, match="holds no clips; .*failures.jsonl"):
        summarise(empty)
