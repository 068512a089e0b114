"""A sweep: each combination is the run of its own recipe, and the table says what came out."""

import csv
import hashlib

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score

from audiotag.cli.train import train
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import DataError, RecipeError
from audiotag.evaluation.scoring import score
from audiotag.label_set import Labels
from audiotag.runtime.version import __version__
from audiotag.tagging.load import load_tagger
from audiotag.training import loop
from audiotag.training.model import build_tagger
from audiotag.training.recipe.toml import dump_recipe, load_recipe, parse_recipe
from audiotag.training.sweep import read_points
from tests.support.tones import RECIPE, write_data


def run_command(*words):
    return CliRunner().invoke(train, list(map(str, words)))


def table_of(out):
    with (out / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


AXES = ("--sweep", "train.batch_size=4,6", "--sweep", "features.args.hop_length=320,160")
POINTS = [(size, hop) for size in (4, 6) for hop in (320, 160)]


@pytest.fixture(scope="module")
def swept(data, recipe, tmp_path_factory):
    """The folder of a sweep of four runs on fold 2, and what the command printed."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    words = ("--data", data, "--out", out, "--device", "cpu", "--set", "data.valid_fold=2", *AXES)
    result = run_command(recipe, *words)
    assert result.exit_code == 0, result.output
    return out, result


@pytest.mark.slow
def test_each_row_is_what_its_run_reaches(data, swept):
    out, result = swept
    rows = table_of(out)
    keys = ("train.batch_size", "features.args.hop_length")
    assert [tuple(int(row[key]) for key in keys) for row in rows] == POINTS
    for row, (size, hop) in zip(rows, POINTS, strict=True):
        run = out / f"train.batch_size={size},features.args.hop_length={hop}"
        values = load_recipe(run / "recipe.toml")
        assert (values.train.batch_size, values.features.args["hop_length"]) == (size, hop)
        tagger = load_tagger(run)
        assert tagger.features.hop_length == hop
        scores = score(tagger, data, fold=2)
        weights = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
        assert (row["weights_sha256"], row["data_hash"]) == (weights, scores.data_hash)
        assert (row["split"], row["fold"], row["audiotag"]) == ("", "2", __version__)
        accuracy = (scores.values.argmax(1) == scores.targets.argmax(1)).mean()
        assert float(row["accuracy"]) == pytest.approx(accuracy, abs=1e-6)
        assert row["clips"] == "9"
        stored = load_file(run / "model.safetensors").values()
        assert int(row["parameters"]) == sum(x.numel() for x in stored)
        assert float(row["clips_per_second"]) > 0
    assert (out / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert "4 of 4: train.batch_size=6,features.args.hop_length=160" in result.stderr
    assert "hop_length" in result.stdout and "sweep.csv" in result.stdout


@pytest.mark.slow
def test_sweep_of_cross_validations_counts_all_clips_and_goes_on(data, recipe, tmp_path):
    words = (recipe, "--data", data, "--out", tmp_path, "--device", "cpu", "--folds")
    words = (*words, "--sweep", "optim.lr=1e-2,1e-3")
    first = tmp_path / "optim.lr=1e-2" / "fold1"
    alone = load_recipe(recipe, ["data.valid_fold=1", "optim.lr=1e-2"])
    loop.train(alone, data, first, torch.device("cpu"))
    result = run_command(*words, "--resume")
    assert result.exit_code == 0, result.output
    assert [row["clips"] for row in table_of(tmp_path)] == ["18", "18"]
    assert len({row["keys"] for row in table_of(tmp_path)}) == 1
    assert isinstance(run_command(*words).exception, DataError)  # there is a sweep already


def test_axes_are_read_as_toml_values(recipe):
    points = read_points(recipe, ["train.epochs=3"], ["data.crop_seconds=[2.0, 3.0],[4.0]"])
    assert [point.recipe.data.crop_seconds for point in points] == [(2.0, 3.0), (4.0,)]
    assert {point.recipe.train.epochs for point in points} == {3}


@pytest.mark.parametrize(
    "axes, message",
    [
        (["train.epochs"], "write section.key=value,value"),
        (["train.epochs=1,,2"], "write section.key=value,value"),
        (["train.epochs=1", "train.epochs=2"], "names a key twice"),
        (["train.epochs=1,many"], "train.epochs must be of type int"),
        (["train.epoch=1,2"], "did you mean 'epochs'"),
    ],
)
def test_wrong_axes_are_named_before_anything_is_trained(recipe, axes, message):
    with pytest.raises(RecipeError, match=message):
        read_points(recipe, [], axes)


@pytest.mark.slow
def test_without_labels_each_row_says_how_the_teachers_tags_are_followed(tmp_path):
    torch.manual_seed(0)
    source = write_data(tmp_path, 12, 2)
    table = source.parent / "t.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()[1:]]
    table.write_text("path,label,fold\n" + "\n".join(f"{path},,{fold}" for path, _, fold in lines))
    unlabelled = prepare(CsvSource(table), tmp_path / "unlabelled")
    start = parse_recipe({"model": RECIPE["model"]})
    teacher, _ = build_tagger(start, Labels.audioset())
    teacher.save(tmp_path / "teacher")
    values = {
        "model": RECIPE["model"],
        "data": {"crop_seconds": [3.0], "valid_fold": 2, "label_set": "audioset"},
        "optim": {"warmup_epochs": 0.0},
        "train": {"epochs": 1},
        "distill": {"teacher": str(tmp_path / "teacher")},
    }
    (tmp_path / "r.toml").write_text(dump_recipe(parse_recipe(values)))
    words = (tmp_path / "r.toml", "--data", unlabelled, "--out", tmp_path / "out")
    result = run_command(*words, "--device", "cpu", "--sweep", "train.batch_size=2,4")
    assert result.exit_code == 0, result.output
    for row in table_of(tmp_path / "out"):
        run = tmp_path / "out" / f"train.batch_size={row['train.batch_size']}"
        scores = score(load_tagger(run), unlabelled, fold=2, unlabelled=True).values
        tags = score(teacher.eval(), unlabelled, fold=2, unlabelled=True).values >= 0.5
        heard = tags.any(0)
        expected = average_precision_score(tags[:, heard], scores[:, heard])
        # Batches differ, and rounding with them orders scores that are nearly equal otherwise.
        assert float(row["mAP by the teacher's tags"]) == pytest.approx(expected, abs=1e-3)
        assert (row["low"], row["high"], row["clips"]) == ("", "", "6")
