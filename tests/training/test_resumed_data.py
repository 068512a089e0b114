"""A run goes on with the data that it began with, and with no others."""

import json
import shutil

import pytest
import torch

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import DataError
from audiotag.training.finetune.finetune import finetune
from audiotag.training.loop import train
from audiotag.training.recipe.toml import parse_recipe
from tests.support.tones import RECIPE, write_data

CPU = torch.device("cpu")
SPLITS = parse_recipe(RECIPE | {"train": RECIPE["train"] | {"epochs": 1}})
KINDS = ["a", "b", "a", "b", "a", "b", "a", "b"]
PARTS = ["train"] * 6 + ["valid"] * 2


def prepared(folder, recordings, name, kinds=KINDS, splits=PARTS, files=range(8), order=None):
    """A data set of the recordings, and so many of their files, under their own numbers."""
    rows = [f"{i}.wav,{kind},{part}" for i, kind, part in zip(files, kinds, splits, strict=False)]
    table = recordings / f"{name}.csv"
    table.write_text("\n".join(["path,label,split", *rows]))
    out = prepare(CsvSource(table), folder / name / "data")
    if order is not None:
        (out / "labels.json").write_text(json.dumps(order))
    return out


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_data(folder, 8, 0)
    return folder


@pytest.fixture(scope="module")
def run(recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train(SPLITS, prepared(folder, recordings, "first"), folder / "run", CPU)


def swapped(folder, recordings):
    """The recordings, of which two have exchanged their names."""
    others = folder / "others"
    shutil.copytree(recordings, others)
    shutil.copy(recordings / "0.wav", others / "1.wav")
    shutil.copy(recordings / "1.wav", others / "0.wav")
    return others


OTHERS = {
    "labels": (dict(kinds=["b", "a", *KINDS[2:]]), "other labels of its training clips"),
    "valid labels": (dict(kinds=[*KINDS[:6], "b", "a"]), "other labels of its validation clips"),
    "added label": (dict(kinds=["a;b", *KINDS[1:]]), "other labels of its training clips"),
    "fewer": (dict(files=range(7)), r"other validation clips \(1; it began with 2\)"),
    "moved": (
        dict(splits=["valid", *PARTS[1:]]),
        r"other training clips \(5; it began with 6\), other validation clips \(3;",
    ),
    "renamed": (
        dict(kinds=["A" if kind == "a" else kind for kind in KINDS]),
        "other labels of its training clips.*labels of other names or in another order",
    ),
    "order": (dict(order=["b", "a"]), "not with labels of other names or in another order"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_run_is_not_resumed_with_other_data(run, recordings, tmp_path, case):
    changes, message = OTHERS[case]
    before = (run / "data.json").read_bytes(), (run / "model.safetensors").read_bytes()
    other = prepared(tmp_path, recordings, case, **changes)
    with pytest.raises(DataError, match=f"{message}.*or choose another --out"):
        train(SPLITS, other, run, CPU, resume=True)
    assert before == ((run / "data.json").read_bytes(), (run / "model.safetensors").read_bytes())


def test_clips_of_the_same_names_may_not_sound_otherwise(run, recordings, tmp_path):
    other = prepared(tmp_path, swapped(tmp_path, recordings), "other")
    with pytest.raises(DataError, match="training clips that sound otherwise under the same names"):
        train(SPLITS, other, run, CPU, resume=True)


def test_the_same_data_may_lie_elsewhere(run, recordings, tmp_path):
    before = json.loads((run / "data.json").read_text())
    train(SPLITS, prepared(tmp_path, recordings, "elsewhere"), run, CPU, resume=True)
    assert json.loads((run / "data.json").read_text()) == before


@pytest.mark.parametrize("is_other", [False, True])
def test_a_run_of_an_older_version_is_compared_by_what_it_says(run, recordings, tmp_path, is_other):
    old = tmp_path / "run"
    shutil.copytree(run, old)
    noted = json.loads((old / "data.json").read_text())
    whole = json.loads((old / "data.json").read_text())
    del noted["labels"]
    for part in (noted["train"], noted["valid"]):
        del part["hash"], part["sounds"]
    (old / "data.json").write_text(json.dumps(noted))
    if is_other:
        for changes, message in (
            (dict(files=range(7)), "other validation clips"),
            (dict(order=["b", "a"]), "labels of other names or in another order"),
        ):
            shutil.rmtree(tmp_path / "new", ignore_errors=True)
            other = prepared(tmp_path, recordings, "new", **changes)
            with pytest.raises(DataError, match=message):
                train(SPLITS, other, old, CPU, resume=True)
        assert json.loads((old / "data.json").read_text()) == noted
    else:
        train(SPLITS, prepared(tmp_path, recordings, "new"), old, CPU, resume=True)
        assert json.loads((old / "data.json").read_text()) == whole  # from now on it says more


def test_a_run_that_had_saved_nothing_yet_is_as_strict(run, recordings, tmp_path):
    begun = tmp_path / "run"
    begun.mkdir()
    for name in ("recipe.toml", "data.json"):
        shutil.copy(run / name, begun)
    changes, message = OTHERS["labels"]
    with pytest.raises(DataError, match=message):
        train(SPLITS, prepared(tmp_path, recordings, "new", **changes), begun, CPU, resume=True)


@pytest.mark.slow
def test_a_probe_that_learnt_all_clips_in_the_end_is_resumed(recordings, run, tmp_path):
    splits = ["train"] * 8
    data = prepared(tmp_path, recordings, "all", splits=splits)
    changes = ("data.valid_percent=40",)
    out = tmp_path / "tuned"
    finetune(str(run), data, out, CPU, changes, method="probe")
    noted = json.loads((out / "data.json").read_text())
    assert noted["train"]["clips"] == 8 and noted["train"]["share"] is None
    finetune(str(run), data, out, CPU, changes, resume=True)
    assert json.loads((out / "data.json").read_text()) == noted
    other = prepared(tmp_path, recordings, "b", kinds=OTHERS["labels"][0]["kinds"], splits=splits)
    with pytest.raises(DataError, match="other labels of its training clips"):
        finetune(str(run), other, out, CPU, changes, resume=True)
