"""Comparisons against tests known in closed form: z for clips, Student's t for seeds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_ind, ttest_rel

from audiotag.errors import DataError, ModelError
from audiotag.evaluation.bootstrap import Statistic
from audiotag.evaluation.comparison import compare, compare_figure
from audiotag.evaluation.measurement import measure
from audiotag.evaluation.scoring import Scores
from audiotag.label_set import Labels

CLIPS, CLASSES = 400, 5
TRUTH = np.random.default_rng(0).integers(CLASSES, size=CLIPS)


def make_scores(skill: float, seed: int, name: str = "model") -> Scores:
    """Scores of a model of some skill; models share part of what makes a clip hard."""
    noise = np.random.default_rng(99).normal(size=(CLIPS, CLASSES))
    noise += np.random.default_rng(seed).normal(size=(CLIPS, CLASSES))
    targets = np.eye(CLASSES, dtype=bool)[TRUTH]
    values = 1 / (1 + np.exp(-noise - skill * targets))
    labels = Labels([f"label {i}" for i in range(CLASSES)])
    keys = tuple(f"clip {i}" for i in range(CLIPS))
    return Scores(name, "data", "valid", None, labels, keys, targets, values)


def by_name(comparison):
    return {difference.name: difference for difference in comparison.differences}


def test_a_model_does_not_differ_from_itself():
    measured = measure(make_scores(2.0, 1))
    for difference in compare([measured], [measured]).differences:
        assert difference.difference.value == 0 and difference.p_value == 1


@pytest.mark.parametrize("skill", [2.0, 2.4])
def test_accuracy_differs_as_the_paired_z_test_says(skill):
    first, second = make_scores(skill, 1, "first"), make_scores(2.0, 2, "second")
    comparison = compare([measure(first, 4000)], [measure(second, 4000)])
    found = by_name(comparison)["accuracy"]
    right = [scores.values.argmax(1) == TRUTH for scores in (first, second)]
    difference = right[0].astype(float) - right[1]
    error = difference.std() / math.sqrt(CLIPS)
    assert found.first == (right[0].mean(),) and found.second == (right[1].mean(),)
    assert found.difference.value == pytest.approx(difference.mean())
    half = norm.ppf(0.975) * error
    assert found.difference.high - found.difference.low == pytest.approx(2 * half, rel=0.1)
    expected = 2 * norm.sf(abs(difference.mean()) / error)
    assert found.p_value == pytest.approx(expected, abs=0.03)
    assert (comparison.clips, comparison.resamples) == (CLIPS, 4000)


def test_pairing_sees_what_two_intervals_apart_would_not():
    first = make_scores(2.0, 1)
    better = replace(first, values=np.where(first.targets, first.values**0.85, first.values))
    one, two = measure(better), measure(first)
    intervals = [run.figures["mAP"].interval() for run in (one, two)]
    assert intervals[0][0] < intervals[1][1]  # they overlap
    assert by_name(compare([one], [two]))["mAP"].p_value < 0.01


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_seeds_alone_give_students_interval(runs):
    """Draws that do not move with the clips leave the spread of the runs."""
    values = np.random.default_rng(runs).normal(0.5, 0.01, runs)
    count = 40_000
    first = [Statistic(np.array(value), np.full(count, value)) for value in values]
    second = [Statistic(np.array(0.4), np.full(count, 0.4))]
    found = compare_figure("mAP", first, second, np.random.default_rng(0)).difference
    half = t.ppf(0.975, runs - 1) * values.std(ddof=1) / math.sqrt(runs)
    assert found.value == pytest.approx(values.mean() - 0.4)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.05)


def test_seeds_alone_give_welchs_p_value():
    rng = np.random.default_rng(4)
    values = [rng.normal(0.53, 0.02, 3), rng.normal(0.5, 0.01, 4)]
    arms = [[Statistic(np.array(x), np.full(40_000, x)) for x in arm] for arm in values]
    expected = ttest_ind(*values, equal_var=False).pvalue
    assert 0.02 < expected < 0.5
    found = compare_figure("mAP", *arms, np.random.default_rng(0)).p_value
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("runs", [3, 5])
def test_seeds_alone_give_the_paired_t_test_of_equally_many_runs(runs):
    """What the seeds do to both models drops out of the difference."""
    rng = np.random.default_rng(runs)
    shared, count = rng.normal(0, 0.1, runs), 40_000
    values = [shared + rng.normal(mean, 0.01, runs) for mean in (0.515, 0.5)]
    arms = [[Statistic(np.array(x), np.full(count, x)) for x in arm] for arm in values]
    expected = ttest_rel(*values)
    assert expected.pvalue < 0.3 < ttest_ind(*values).pvalue
    found = compare_figure("mAP", *arms, np.random.default_rng(0))
    low, high = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.01)
    assert found.difference.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.difference.high == pytest.approx(high, abs=0.05 * (high - low))


def test_what_runs_owe_to_the_clips_is_counted_once():
    """100 runs without an effect of the seed: only that each suits other clips sets them apart."""
    rng, clips, runs = np.random.default_rng(0), 200, 100
    weights = rng.multinomial(clips, np.full(clips, 1 / clips), size=2000) / clips  # (R, clips)
    arms = [
        [Statistic(np.array(x.mean()), weights @ x) for x in rng.normal(size=(runs, clips))]
        for _ in range(2)
    ]
    found = compare_figure("mAP", *arms, rng).difference
    half = norm.ppf(0.975) * math.sqrt(2 / (clips * runs))
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_runs_are_averaged_and_named():
    first = [measure(make_scores(2.2, seed, f"a{seed}"), 500) for seed in (1, 2, 3)]
    second = [measure(make_scores(2.0, seed, f"b{seed}"), 500) for seed in (4, 5)]
    comparison = compare(first, second)
    assert comparison.first == ("a1", "a2", "a3") and comparison.second == ("b4", "b5")
    found = by_name(comparison)["mAP"]
    assert found.difference.value == pytest.approx(np.mean(found.first) - np.mean(found.second))
    alone = by_name(compare(first[:1], second[:1]))["mAP"].difference
    assert alone.value == pytest.approx(found.first[0] - found.second[0])


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.1, 0.5])  # how differently the runs hear one clip
def test_equal_models_differ_in_about_5_of_100_experiments(own):
    """Clips are drawn anew and models trained anew each time: the true difference is 0."""
    rng, found, one_run = np.random.default_rng(0), 0, 0
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=400) / 200  # (R, clips)
    for _ in range(400):
        arms = []
        for _ in range(2):
            clips, seeds = rng.normal(0.5, 0.5, 200), rng.normal(0, 0.05, 3)
            runs = [clips + seed + rng.normal(0, own, 200) for seed in seeds]
            arms.append([Statistic(np.array(x.mean()), weights @ x) for x in runs])
        found += compare_figure("mAP", *arms, rng).p_value < 0.05
        one_run += compare_figure("mAP", arms[0][:1], arms[1][:1], rng).p_value < 0.05
    assert 0.01 < found / 400 < 0.08
    assert one_run / 400 > 0.1  # clips alone do not tell what another seed would change


def test_other_labels_are_refused_and_another_order_is_not():
    first, second = make_scores(2.0, 1, "first"), make_scores(2.1, 2, "second")
    order = [3, 1, 4, 0, 2]
    shuffled = replace(
        second,
        labels=Labels([second.labels[i] for i in order]),
        targets=second.targets[:, order],
        values=second.values[:, order],
    )
    one = measure(first, 100)
    for expected, found in zip(
        compare([one], [measure(second, 100)]).differences,
        compare([one], [measure(shuffled, 100)]).differences,
        strict=True,
    ):
        assert found.difference.value == pytest.approx(expected.difference.value)
        assert found.p_value == pytest.approx(expected.p_value)
    renamed = replace(second, labels=Labels(["other", *second.labels.names[1:]]))
    with pytest.raises(ModelError, match="second lacks 'label 0', which first has"):
        compare([one], [measure(renamed, 100)])


def test_other_clips_or_resamples_are_refused():
    first = make_scores(2.0, 1)
    fewer = replace(first, keys=tuple(f"other {key}" for key in first.keys))
    with pytest.raises(DataError, match="model and model were measured on different clips"):
        compare([measure(first, 100)], [measure(fewer, 100)])
    with pytest.raises(ValueError, match="different numbers of resamples"):
        compare([measure(first, 100)], [measure(first, 64)])
