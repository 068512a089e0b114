"""The tables of `audiotag evaluate`."""

from collections.abc import Sequence
from math import isinf, isnan

import click
from rich.console import Console

from audiotag.cli.tables.grid import open_console, print_grid
from audiotag.evaluation.calibration import SHOWN_FROM, StoredCalibration, mean_gap
from audiotag.evaluation.comparison import Comparison
from audiotag.evaluation.decisions import ENOUGH, LabelReview
from audiotag.evaluation.evaluate import EvaluationResults
from audiotag.models.evaluation_record import ClassFigures, Confusion, Evaluation, Figure, to_json
from audiotag.training.sweep_table import SweepRow

SHOWN_CONFUSION = 20  # classes; with more, the most frequent mistakes are listed
SHOWN_MISTAKES = 10
SHOWN_DIGITS = 16  # of the hash of weights
AUDIOSET = 527  # classes, each of which AudioSet's evaluation clips have
NAMES = {"d_prime": "d'"}


def print_results(results: EvaluationResults, classes: int | None) -> None:
    """Print tables of each model and, if there is something to compare, the comparison.

    Args:
        results: What was measured.
        classes: How many of the best and worst classes to show.
    """
    for evaluation in results.evaluations:
        print_evaluation(evaluation, classes)
        if results.comparison is None and evaluation.confusion is not None:
            print_confusion(evaluation.confusion)
    if results.comparison is not None:
        print_comparison(results.comparison)


def print_stored(results: EvaluationResults) -> None:
    """Print on standard error what was stored in model folders, and how good it is."""
    for calibration in results.calibrations:
        click.echo(_calibration_text(calibration), err=True)
    for stored in results.thresholds:
        click.echo(
            f"{stored.folder}: thresholds stored; mean F1 {stored.f1:.3f} on the clips they were "
            f"fitted on, {stored.f1_at_half:.3f} with 0.5 for all; {stored.tags:.2f} tags a clip, "
            f"{stored.precision:.0%} of them right, {stored.recall:.0%} of the labels among them; "
            f"{stored.shared} classes share one",
            err=True,
        )


def print_reviews(model: str, reviews: Sequence[LabelReview], precision: float) -> None:
    """Print what follows from decisions, and what was stored of it."""
    console = open_console()
    rows = [(x.label, str(x.right), str(x.decided - x.right), *_threshold(x)) for x in reviews]
    titles = ("label", "right", "wrong", "threshold", "right from there on")
    print_grid(console, titles, rows)
    stored = sum(x.threshold is not None for x in reviews)
    console.print(
        f"{model}: {stored} of {len(reviews)} thresholds stored, from which on an event is right "
        f"with a probability of {precision:g} or more.",
        soft_wrap=True,
    )


def _threshold(found: LabelReview) -> tuple[str, str]:
    if found.threshold is not None:
        return f"{found.threshold:.3f}", f"{found.above_right} of {found.above}"
    if found.decided < ENOUGH:
        return "-", f"{ENOUGH - found.decided} more decisions needed"
    return "-", "no score is enough"


def _calibration_text(stored: StoredCalibration) -> str:
    first = (
        f"{stored.folder}: calibration stored, {stored.own} classes with a bias of their own; mean "
        f"distance of scores of {SHOWN_FROM} and more from the share that is right "
        f"{mean_gap(stored.before):.3f} before, {mean_gap(stored.after):.3f} after (fitted on "
        f"other clips)\n   score   before: tags  right   after: tags  right\n"
    )
    rows = zip(stored.before, stored.after, strict=True)
    return first + "\n".join(
        f"{before.low:.1f}-{before.high:.1f} {before.tags:15} {_share(before.right)} "
        f"{after.tags:13} {_share(after.right)}"
        for before, after in rows
    )


def _share(value: float) -> str:
    return "     -" if isnan(value) else f"{value:6.3f}"


def print_json(results: EvaluationResults) -> None:
    """Print a line of JSON for each model and, if there is one, the comparison."""
    for evaluation in results.evaluations:
        click.echo(evaluation.to_json())
    if results.comparison is not None:
        click.echo(to_json(results.comparison))


def print_evaluation(evaluation: Evaluation, classes: int | None = None) -> None:
    """Print figures with intervals and, if `classes` is given, the best and worst classes."""
    console = open_console()
    part = "".join(
        f", {name} {value}"
        for name, value in (("split", evaluation.split), ("fold", evaluation.fold))
        if value is not None
    )
    console.print(
        f"{evaluation.model} on {evaluation.data}{part}: {evaluation.clips} clips, "
        f"keys {evaluation.keys}",
        style="bold",
        soft_wrap=True,
    )
    rows = [(NAMES.get(k, k), *_figure(x)) for k, x in evaluation.figures.items()]
    print_grid(console, ("figure", "", "95 % interval"), rows)
    means = f"Means over the {len(evaluation.classes)} of {evaluation.labels} classes with a clip"
    intervals = f"; intervals by {evaluation.resamples} bootstrap resamples of the clips"
    console.print(
        f"{means}{intervals if evaluation.resamples else ''}.", style="dim", soft_wrap=True
    )
    if evaluation.published_map is not None:
        console.print(_published(evaluation), soft_wrap=True)
    console.print(_origin(evaluation), style="dim", soft_wrap=True)
    if evaluation.crops_differ:
        console.print(_crops(evaluation), style="yellow", soft_wrap=True)
    if evaluation.learnt:
        console.print(
            f"The model was trained on {evaluation.learnt} of these clips, so its figures are too "
            "good.",
            style="yellow",
            soft_wrap=True,
        )
    if classes is not None:
        _print_classes(console, evaluation.classes, classes)
    console.print()


def _published(evaluation: Evaluation) -> str:
    """The published figure beside the measured one, and why they may differ."""
    assert evaluation.published_map is not None
    change = evaluation.mean_average_precision - evaluation.published_map
    said = (
        f"Published: mAP {evaluation.published_map:.4f} ({evaluation.published_in}), on the "
        f"authors' copy of AudioSet's evaluation clips; {change:+.4f} here"
    )
    if len(evaluation.classes) < AUDIOSET:
        return f"{said}, on other clips: {len(evaluation.classes)} of {AUDIOSET} classes have one."
    return f"{said}."


def _origin(evaluation: Evaluation) -> str:
    """What the figures are of, by hashes."""
    weights = evaluation.weights_sha256
    shown = "of no file" if weights is None else weights[:SHOWN_DIGITS]
    return f"Weights {shown}, data {evaluation.data_hash}, audiotag {evaluation.audiotag}."


def _crops(evaluation: Evaluation) -> str:
    """That the clips are heard at other lengths than the crops of training."""
    shortest, longest = evaluation.shortest_crop, evaluation.longest_crop
    crops = f"{shortest:g} s" if shortest == longest else f"{shortest:g} to {longest:g} s"
    return (
        f"The model was trained on crops of {crops}, and hears {evaluation.heard_seconds:g} s of "
        "these clips at once (median): figures on clips as long as its crops may differ."
    )


def print_folds(folds: Sequence[Evaluation]) -> None:
    """Print the figures of each fold, and their means with standard deviations."""
    names = list(folds[0].figures)
    rows = [
        (f"{x.fold}", f"{x.clips}", *(f"{x.figures[name].value:.4f}" for name in names))
        for x in folds
    ]
    means = (_runs([x.figures[name].value for x in folds]) for name in names)
    columns = ("fold", "clips", *(NAMES.get(name, name) for name in names))
    print_grid(open_console(), columns, [*rows, ("mean", "", *means)])


def print_sweep(rows: Sequence[SweepRow]) -> None:
    """Print the results of each combination of values."""
    console = open_console()
    keys = [value.partition("=")[0] for value in rows[0].values]
    outcome = rows[0].outcome
    columns = (*keys, outcome.figure, "95 % interval", "parameters", "clips/s")
    lines = [
        (
            *(value.partition("=")[2] for value in row.values),
            *_figure(row.outcome.value),
            f"{row.parameters / 1e6:.2f} M",
            f"{row.clips_per_second:.1f}",
        )
        for row in rows
    ]
    print_grid(console, columns, lines)
    console.print(f"On {outcome.clips} clips, keys {outcome.keys}.", style="dim", soft_wrap=True)


def print_confusion(confusion: Sequence[Confusion]) -> None:
    """Print which label is confused with which; of many, only the most frequent confusions."""
    console = open_console()
    names = list(dict.fromkeys([x.label for x in confusion] + [x.heard for x in confusion]))
    if len(names) > SHOWN_CONFUSION:
        mistakes = sorted((x for x in confusion if x.label != x.heard), key=lambda x: -x.clips)
        rows = [(x.label, x.heard, f"{x.clips}") for x in mistakes[:SHOWN_MISTAKES]]
        print_grid(console, ("most frequent mistakes", "heard as", "clips"), rows, {"heard as"})
        return
    counts = {(x.label, x.heard): x.clips for x in confusion}
    numbers = [f"{i + 1}" for i in range(len(names))]
    table = [
        (f"{i + 1} {label}", *(str(counts.get((label, heard), "·")) for heard in names))
        for i, label in enumerate(names)
    ]
    print_grid(console, ("clips of, heard as", *numbers), table)


def print_comparison(comparison: Comparison) -> None:
    """Print differences, their intervals and p-values."""
    console = open_console()
    console.print(
        f"{', '.join(comparison.first)} less {', '.join(comparison.second)}",
        style="bold",
        soft_wrap=True,
    )
    rows = [
        (x.name, _runs(x.first), _runs(x.second), *_figure(x.difference, "+"), f"{x.p_value:.3f}")
        for x in comparison.differences
    ]
    print_grid(console, ("figure", "first", "second", "difference", "95 % interval", "p"), rows)
    console.print(
        f"Paired bootstrap over {comparison.clips} clips, keys {comparison.keys}, "
        f"{comparison.resamples} resamples{_over_seeds(comparison)}",
        style="dim",
        soft_wrap=True,
    )


def _over_seeds(comparison: Comparison) -> str:
    runs = len(comparison.first), len(comparison.second)
    if max(runs) == 1:
        return "; with one run each, how much another seed would change is not in it."
    if runs[0] == runs[1]:
        return f"; over seeds by how the differences of the {runs[0]} pairs spread (±: the runs)."
    return "; over seeds by the spread of the runs, shown behind ±."


def _print_classes(console: Console, classes: Sequence[ClassFigures], count: int) -> None:
    by_precision = sorted(classes, key=lambda x: -x.average_precision.value)
    rest = by_precision[count:]
    chosen = by_precision[:count] + rest[max(0, len(rest) - count) :]
    rows = [
        (x.name, f"{x.clips}", *_figure(x.average_precision), f"{x.auc.value:.4f}") for x in chosen
    ]
    print_grid(console, ("class", "clips", "AP", "95 % interval", "AUC"), rows)
    hidden = len(classes) - len(chosen)
    if hidden:
        console.print(f"{hidden} more lie between them.", style="dim")


def _runs(values: Sequence[float]) -> str:
    """Mean of runs, and their standard deviation if there are several and it is finite."""
    mean = sum(values) / len(values)
    if len(values) == 1 or isinf(mean):  # d' where classes are told apart without a mistake
        return f"{mean:.4f}"
    spread = (sum((x - mean) ** 2 for x in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.4f} ± {spread:.4f}"


def _figure(figure: Figure, sign: str = "") -> tuple[str, str]:
    if figure.low != figure.low:
        return f"{figure.value:{sign}.4f}", ""
    return f"{figure.value:{sign}.4f}", f"{figure.low:{sign}.4f} to {figure.high:{sign}.4f}"
