"""Cross-validation: every clip is scored by the run that was trained without it."""

import json
import shutil
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score

from audiotag.cli.evaluate import evaluate
from audiotag.cli.tables.evaluate import print_folds
from audiotag.cli.train import train
from audiotag.data.dataset import ClipDataset
from audiotag.errors import DataError
from audiotag.hub.card import model_card
from audiotag.models.evaluation_record import Figure
from audiotag.models.model import Model
from audiotag.training import loop
from audiotag.training.recipe.toml import load_recipe, parse_recipe
from tests.support.tones import RECIPE, write_data

CPU = torch.device("cpu")


def run_command(command, *words):
    return CliRunner().invoke(command, list(map(str, words)))


@pytest.fixture(scope="module")
def runs(data, recipe, tmp_path_factory):
    """The folder of a cross-validation by the command, and what that printed."""
    out = tmp_path_factory.mktemp("runs") / "tones"
    result = run_command(train, recipe, "--data", data, "--out", out, "--folds", "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out, result.output


@pytest.mark.slow
def test_each_run_is_the_one_trained_alone_without_its_fold(data, runs, tmp_path):
    for fold in (1, 2):
        values = RECIPE | {"data": RECIPE["data"] | {"valid_fold": fold}}
        alone = loop.train(parse_recipe(values), data, tmp_path / str(fold), torch.device("cpu"))
        run = runs[0] / f"fold{fold}"
        assert load_recipe(run / "recipe.toml") == parse_recipe(values)
        ours, other = (load_file(x / "model.safetensors") for x in (run, alone))
        assert all(torch.equal(ours[key], other[key]) for key in other)


def test_clips_are_scored_by_the_run_that_has_not_seen_them(data, runs, tmp_path):
    out, printed = runs
    result = run_command(
        evaluate, out, data, "--scores", tmp_path / "s.npz", "--json", "--device", "cpu"
    )
    assert result.exit_code == 0, result.output
    stored = np.load(tmp_path / "s.npz")
    assert len(set(stored["keys"].tolist())) == 18
    expected = {}
    for fold in (1, 2):
        tagger, clips = Model.load(out / f"fold{fold}").eval(), ClipDataset(data, fold=fold)
        for i, key in enumerate(clips.keys):
            samples = torch.zeros(1, round(tagger.min_duration * 32_000))
            clip = clips.read(i) / np.float32(32768)
            samples[0, : len(clip)] = torch.from_numpy(clip)
            with torch.inference_mode():
                expected[str(key)] = tagger(samples).softmax(1)[0].numpy()
    by_hand = np.stack([expected[key] for key in stored["keys"].tolist()])
    np.testing.assert_allclose(stored["scores"], by_hand, atol=1e-5)
    figures = json.loads(result.output)["figures"]
    precision = average_precision_score(stored["targets"], by_hand, average="macro")
    assert figures["mAP"]["value"] == pytest.approx(precision, abs=1e-6)
    accuracy = (by_hand.argmax(1) == stored["targets"].argmax(1)).mean()
    assert figures["accuracy"]["value"] == pytest.approx(accuracy)
    written = json.loads((out / "evaluation.json").read_text())
    assert written["figures"]["mAP"] == figures["mAP"] and written["clips"] == 18
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1] in ("1", "2")]
    assert [row[:2] for row in rows[:2]] == [["1", "9"], ["2", "9"]]


@pytest.mark.slow
def test_cross_validations_are_compared_as_models_are(data, runs, recipe, tmp_path):
    other = tmp_path / "other"
    words = ("--data", data, "--out", other, "--folds", "--device", "cpu")
    assert run_command(train, recipe, *words, "--set", "train.seed=1").exit_code == 0
    result = run_command(evaluate, runs[0], data, "--compare", other, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    first, second, comparison = map(json.loads, result.output.splitlines())
    difference = first["figures"]["mAP"]["value"] - second["figures"]["mAP"]["value"]
    by_name = {x["name"]: x["difference"]["value"] for x in comparison["differences"]}
    assert by_name["mAP"] == pytest.approx(difference) and comparison["clips"] == 18


def test_figures_of_folds_have_a_mean_and_a_spread_where_they_are_finite(capsys):
    folds = [
        SimpleNamespace(
            fold=i, clips=9, figures={"d_prime": Figure(d, d, d), "mAP": Figure(x, x, x)}
        )
        for i, d, x in ((1, inf, 0.5), (2, 2.0, 0.7))
    ]
    print_folds(folds)
    *_, means = (line.split() for line in capsys.readouterr().out.splitlines() if line.strip())
    assert means == ["mean", "inf", "0.6000", "±", f"{0.1 * 2**0.5:.4f}"]


@pytest.mark.slow
def test_sweeps_over_seeds_are_compared_seed_by_seed(data, recipe, tmp_path):
    """The figures again from stored scores, the resamples drawn and the seeds' t added by hand."""
    seeds, words = (0, 1, 2), ("--data", data, "--folds", "--device", "cpu", "--set")
    sweep = ("--sweep", f"train.seed={','.join(map(str, seeds))}")
    for arm, rate in (("fast", "1e-2"), ("slow", "2e-3")):
        trained = run_command(
            train, recipe, "--out", tmp_path / arm, *words, f"optim.lr={rate}", *sweep
        )
        assert trained.exit_code == 0, trained.output
    where = (data, "--device", "cpu")
    result = run_command(
        evaluate, tmp_path / "fast", *where, "--compare", tmp_path / "slow", "--json"
    )
    assert result.exit_code == 0, result.output
    *_, comparison = map(json.loads, result.output.splitlines())
    assert comparison["first"] == [str(tmp_path / "fast" / f"train.seed={i}") for i in seeds]
    assert comparison["second"] == [str(tmp_path / "slow" / f"train.seed={i}") for i in seeds]
    right = {}
    for arm in ("fast", "slow"):
        for i in seeds:
            file, run = tmp_path / f"{arm}{i}.npz", tmp_path / arm / f"train.seed={i}"
            assert run_command(evaluate, run, *where, "--scores", file).exit_code == 0
            stored = np.load(file)
            hit = stored["scores"].argmax(1) == stored["targets"].argmax(1)
            right[arm, i] = dict(zip(stored["keys"].tolist(), hit.astype(float), strict=True))
    keys = sorted(right["fast", 0])
    pairs = np.array([[right["fast", i][k] - right["slow", i][k] for k in keys] for i in seeds])
    found = next(x for x in comparison["differences"] if x["name"] == "accuracy")
    assert found["difference"]["value"] == pytest.approx(pairs.mean())
    assert found["first"] == pytest.approx([np.mean([*right["fast", i].values()]) for i in seeds])
    rng, count = np.random.default_rng(1), 20_000
    draws = np.array([pairs[:, rng.integers(18, size=18)].mean(1) for _ in range(count)])  # (R, 3)
    by_clips = np.var(draws - pairs.mean(1), axis=1, ddof=1).mean()
    variance = max(0.0, np.var(pairs.mean(1), ddof=1) - by_clips) / 3
    draws = draws.mean(1) + variance**0.5 * rng.standard_t(2, size=count)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found["difference"]["low"] == pytest.approx(low, abs=0.15 * (high - low) + 0.02)
    assert found["difference"]["high"] == pytest.approx(high, abs=0.15 * (high - low) + 0.02)


def test_other_folds_than_the_runs_left_out_are_refused(runs, tmp_path):
    """The same clips, some of them in the other fold: a run has learnt what it would be asked."""
    other = write_data(tmp_path, 18, 2, shift=4)
    result = run_command(evaluate, runs[0], other, "--device", "cpu")
    assert isinstance(result.exception, DataError)
    assert "fold1 was not trained without the clips of fold 1" in str(result.exception)


@pytest.mark.slow
def test_killed_cross_validation_goes_on_where_it_was(data, runs, recipe, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(runs[0] / "fold1", out / "fold1")
    before = (out / "fold1" / "metrics.jsonl").read_text()
    words = (train, recipe, "--data", data, "--out", out, "--folds", "--device", "cpu")
    refused = run_command(evaluate, out, data)
    assert isinstance(refused.exception, DataError)
    assert "runs of the folds 1, and" in str(refused.exception)
    assert "train --folds --resume" in str(refused.exception)
    assert "add --resume" in str(run_command(*words).exception)
    resumed = run_command(*words, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert (out / "fold1" / "metrics.jsonl").read_text() == before
    ours, whole = (load_file(x / "fold2" / "model.safetensors") for x in (out, runs[0]))
    assert all(torch.equal(ours[key], whole[key]) for key in whole)


def test_what_cannot_be_done_is_said(data, runs, recipe, tmp_path):
    split = run_command(evaluate, runs[0], data, "--split", "valid")
    assert split.exit_code == 2 and "leave out --split and --fold" in split.output
    without = write_data(tmp_path, 3, 0)
    words = ("--data", without, "--out", tmp_path / "out", "--folds", "--device", "cpu")
    result = run_command(train, recipe, *words)
    assert isinstance(result.exception, DataError) and "has 0 folds" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_run_is_measured_on_what_it_has_not_learnt_unless_asked(data, runs, tmp_path):
    run = shutil.copytree(runs[0] / "fold1", tmp_path / "run")
    result = run_command(evaluate, run, data, "--json", "--save", "--resamples", 0)
    figures = json.loads(result.stdout)
    assert (figures["split"], figures["fold"], figures["clips"]) == (None, 1, 9)
    assert figures["learnt"] == 0 and "too good" not in model_card(run)
    result = run_command(evaluate, run, data, "--split", "train", "--resamples", 0, "--save")
    learnt = set(ClipDataset(data, "train").keys.tolist()) & set(ClipDataset(data, fold=2).keys)
    assert f"trained on {len(learnt)} of these clips, so its figures are" in result.stdout
    assert f"trained on {len(learnt)} of these clips, so its figures are" in model_card(run)
    other = write_data(tmp_path, 20, 2)  # two clips more: not what it was trained on
    figures = json.loads(run_command(evaluate, run, other, "--json", "--resamples", 0).stdout)
    assert (figures["split"], figures["fold"], figures["learnt"]) == ("valid", None, 0)
