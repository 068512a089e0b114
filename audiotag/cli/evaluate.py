"""`audiotag evaluate`: how good models are."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.device import DEVICE, PRECISION
from audiotag.cli.options.inputs import usage_errors
from audiotag.cli.options.types import COUNT, COUNT_OR_NONE, NEW_FILE, Number


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--split",
    metavar="NAME",
    help="Measure on the clips of this split.  [default, without --fold: the clips that the run "
    "was validated on, or the split valid, or eval where that is not there]",
)
@click.option("--fold", type=int, metavar="NUMBER", help="Measure on the clips of this fold only.")
@click.option(
    "--compare",
    multiple=True,
    metavar="MODEL",
    help="Test whether MODEL differs from this one. For runs with different seeds, give several "
    "MODELs, and --compare several times.",
)
@click.option("--classes", type=COUNT, help="Show this many of the best and worst classes.")
@click.option(
    "--resamples",
    type=COUNT_OR_NONE,
    default=1000,
    show_default=True,
    help="Bootstrap resamples for intervals and p-values; 0 for none.",
)
@click.option(
    "--fit-thresholds",
    is_flag=True,
    help="Store in the model folder, for tag, the thresholds that maximise each class's F1 here; "
    "of decisions, those with the --target-precision.",
)
@click.option(
    "--target-precision",
    type=Number("share", float, 0.5, 0.99),
    default=0.9,
    show_default=True,
    help="With decisions: from the threshold on, an event is right with at least this probability.",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Fit a calibration and store it in the model folder: of tags with a score of 0.7, seven "
    "in ten are then right. Thresholds are fitted to calibrated scores.",
)
@click.option(
    "--min-positives",
    "least_positives",
    type=COUNT,
    default=10,
    show_default=True,
    help="A class with at least this many clips is fitted by itself; rarer ones are fitted "
    "together.",
)
@click.option("--save", is_flag=True, help="Write evaluation.json into the model folder.")
@click.option(
    "--scores",
    type=NEW_FILE,
    help="Write keys, labels, targets and scores to this .npz file, which a recipe's "
    "distill.scores takes.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, a line for each model and the comparison."
)
@click.option(
    "--batch-size",
    type=COUNT,
    default=16,
    show_default=True,
    help="Clips scored at once.",
)
@DEVICE
@click.option(
    "--engine",
    type=click.Choice(["torch", "onnx"]),
    default="torch",
    show_default=True,
    help="What computes a model folder; onnx takes its model.onnx, and needs no torch.",
)
@PRECISION
def evaluate(
    models: tuple[str, ...],
    data: Path,
    compare: tuple[str, ...],
    classes: int | None,
    as_json: bool,
    target_precision: float,
    **options: Any,
) -> None:
    """Measure MODEL (folder, .onnx file, Hub id or name) on the prepared data set DATA.

    Beside the figure of a published model, by name, stands the one that its authors published.

    The folder of a cross-validation (audiotag train --folds) is a MODEL too: each clip is scored
    by the run that was trained without it. The folder of a sweep over seeds (--sweep
    train.seed=0,1,2, with --folds or not) stands for its runs, one MODEL each. If there are as many
    MODELs as models to compare with, they are compared in pairs, in their order.

    With --fit-thresholds, DATA may also be the csv or json file of decisions that the page of
    results exports (audiotag tag --output tags.html). A label with 50 decisions gets a threshold,
    by logistic regression.

    \b
    Example: audiotag evaluate runs/mine data/mine --classes 5
             audiotag evaluate runs/mine data/mine --calibrate --fit-thresholds
             audiotag evaluate ced-tiny data/audioset --split eval
             audiotag evaluate runs/mine data/mine --compare runs/other
             audiotag evaluate runs/a1 runs/a2 data/mine --compare runs/b1 --compare runs/b2
             audiotag evaluate runs/a_seeds data/mine --compare runs/b_seeds
             audiotag evaluate runs/mine decisions.csv --fit-thresholds
             torchrun --nproc-per-node 8 -m audiotag evaluate runs/mine data/mine --split eval
    """
    from audiotag.evaluation.decisions import is_decisions

    if is_decisions(data):
        _fit_to_decisions(models, data, target_precision, options["fit_thresholds"])
        return
    from audiotag.cli.process import prepare_to_compute
    from audiotag.cli.tables.evaluate import print_json, print_results, print_stored
    from audiotag.evaluation.evaluate import EvaluationPlan, evaluate
    from audiotag.evaluation.folds import with_seeds
    from audiotag.runtime.devices import is_cpu

    with usage_errors():
        plan = EvaluationPlan(with_seeds(models), data, with_seeds(compare), **options)
    prepare_to_compute("cpu" if is_cpu(plan.device) else "cuda")
    results = evaluate(plan)
    if results is None:
        return
    print_stored(results)
    if not results.evaluations:
        click.echo(f"{plan.scores}: scores of {results.clips} clips without labels")
    elif as_json:
        print_json(results)
    else:
        print_results(results, classes)


def _fit_to_decisions(
    models: tuple[str, ...], path: Path, precision: float, is_wanted: bool
) -> None:
    from audiotag.cli.tables.evaluate import print_reviews
    from audiotag.evaluation.decisions import store_reviewed
    from audiotag.evaluation.evaluate import check_folders

    if not is_wanted:
        raise click.UsageError(f"{path} holds decisions: add --fit-thresholds, or name a data set")
    if len(models) > 1:
        raise click.UsageError("decisions are of one MODEL; leave out the others")
    with usage_errors():
        check_folders(models)
    print_reviews(models[0], store_reviewed(Path(models[0]), path, precision), precision)
