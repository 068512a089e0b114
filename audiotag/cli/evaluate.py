"""`audiotag evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiotag.cli.options.inputs import PRECISION

if TYPE_CHECKING:
    from audiotag.evaluation.measurement import Measurement
    from audiotag.evaluation.scoring import Scores


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--split",
    help="Split of the data set; without --fold either, the clips that the run was validated on, "
    "or the split valid.",
)
@click.option("--fold", type=int, help="Measure on the clips of this fold only.")
@click.option(
    "--compare",
    multiple=True,
    metavar="MODEL",
    help="Say whether MODEL differs from this one. Give several MODELs, and --compare several "
    "times, for runs with different seeds.",
)
@click.option(
    "--classes", type=click.IntRange(min=1), help="Show this many of the best and worst classes."
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Bootstrap resamples for intervals and p-values; 0 for none.",
)
@click.option(
    "--fit-thresholds",
    is_flag=True,
    help="Store in the model folder, for tag, the thresholds that maximise each class's F1 here.",
)
@click.option("--save", is_flag=True, help="Write evaluation.json into the model folder.")
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write keys, labels, targets and scores to this .npz file, which a recipe's "
    "distill.scores takes.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="A line of JSON for each model and the comparison."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Clips scored at once.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@PRECISION
def evaluate(
    models: tuple[str, ...],
    data: Path,
    split: str | None,
    fold: int | None,
    compare: tuple[str, ...],
    classes: int | None,
    resamples: int,
    fit_thresholds: bool,
    save: bool,
    scores: Path | None,
    as_json: bool,
    batch_size: int,
    device: str,
    precision: str,
) -> None:
    """Measure MODEL (folder, .onnx file or Hub id) on the prepared data set DATA.

    The folder of a cross-validation (audiotag train --folds) is a MODEL too: each clip is scored
    by the run that was trained without it. The folder of a sweep over seeds (--sweep
    train.seed=0,1,2, with --folds or not) is as many MODELs. Equally many of both sides are paired
    in their order.

    \b
    Example: audiotag evaluate runs/mine data/mine --classes 5
             audiotag evaluate runs/mine data/mine --compare runs/other
             audiotag evaluate runs/a1 runs/a2 data/mine --compare runs/b1 --compare runs/b2
             audiotag evaluate runs/a_seeds data/mine --compare runs/b_seeds
             torchrun --nproc-per-node 8 -m audiotag evaluate runs/mine data/mine --split eval
    """
    models, compare = _with_seeds(models), _with_seeds(compare)
    if save and precision != "fp32":
        raise click.UsageError(f"--save keeps figures of fp32; leave out --precision {precision}")
    _check_usage(models, compare, resamples, save or fit_thresholds, scores)
    from audiotag.cli.process import prepare_to_compute
    from audiotag.evaluation.measurement import measure
    from audiotag.runtime.devices import select_device
    from audiotag.runtime.distributed import joined_processes

    prepare_to_compute(select_device(device).type)
    with joined_processes() as rank:
        where, unlabelled = (data, split, fold, batch_size, device, precision), scores is not None
        runs = [_score(model, *where, unlabelled) for model in models + compare]
    if rank:
        return
    if scores is not None:
        runs[0].save(scores)
        if not runs[0].targets.any():
            click.echo(f"{scores}: scores of {len(runs[0].keys)} clips without labels")
            return
    measured = [measure(run, resamples) for run in runs]
    for model, run in zip(models, measured, strict=False):
        _store(Path(model), run, save, fit_thresholds)
    _print(measured[: len(models)], measured[len(models) :], as_json, classes)


def _with_seeds(models: tuple[str, ...]) -> tuple[str, ...]:
    """Models, with the runs of a sweep over seeds in its place."""
    from audiotag.training.cross_validation import seed_runs

    runs = ((model, [str(run) for run in seed_runs(Path(model))]) for model in models)
    return tuple(name for model, seeds in runs for name in seeds or [model])


def _check_usage(
    models: tuple[str, ...],
    compare: tuple[str, ...],
    resamples: int,
    writes: bool,
    scores: Path | None,
) -> None:
    """Refuse, before anything is computed, options that do not go together."""
    if compare and not resamples:
        raise click.UsageError("--compare judges by resamples; leave out --resamples 0")
    for model in models:
        if writes and not Path(model).is_dir():
            raise click.UsageError(
                f"--save and --fit-thresholds write into a model folder, and {model} is none; "
                "get one with audiotag pull or train"
            )
    if scores is not None and len(models + compare) > 1:
        raise click.UsageError("--scores takes the scores of one MODEL; leave out the others")


def _score(
    model: str,
    data: Path,
    split: str | None,
    fold: int | None,
    batch_size: int,
    device: str,
    precision: str,
    unlabelled: bool,
) -> "Scores":
    from audiotag.evaluation.held_out import count_learnt, validation_part
    from audiotag.evaluation.scoring import Scores, score
    from audiotag.tagging.locate import model_folder
    from audiotag.tagging.open import open_engine
    from audiotag.training.cross_validation import is_cross_validation, score_folds

    if is_cross_validation(Path(model)):
        if split is not None or fold is not None:
            raise click.UsageError(
                f"{model} is a cross-validation, measured on all clips; leave out --split and "
                f"--fold, or name one of its runs"
            )
        return Scores.join(score_folds(Path(model), data, device, batch_size, precision))
    folder = Path(model) if model.endswith(".onnx") else model_folder(model)
    if split is None and fold is None:
        split, fold = validation_part(folder, data)
    engine = "onnx" if folder.suffix == ".onnx" else "torch"
    tagger = open_engine(str(folder), device, engine, precision, name=model)
    scores = score(tagger, data, split, fold, batch_size, unlabelled)
    return replace(scores, learnt=count_learnt(folder, data, scores.keys))


def _store(folder: Path, measured: "Measurement", save: bool, fit_thresholds: bool) -> None:
    """Write into a model folder what was asked for."""
    from audiotag.evaluation.evaluate import summarise

    if save:
        summarise(measured).save(folder)
    if fit_thresholds:
        _store_thresholds(folder, measured.scores)


def _store_thresholds(folder: Path, scores: "Scores") -> None:
    import numpy as np

    from audiotag.evaluation.thresholds import f1_scores, fit_thresholds
    from audiotag.models.config import store_thresholds

    fitted = fit_thresholds(scores)
    store_thresholds(folder, fitted.values.tolist())
    half = f1_scores(scores.targets, scores.values, np.full(len(fitted.values), 0.5))
    click.echo(
        f"{folder}: thresholds stored; mean F1 {np.nanmean(fitted.f1):.3f} on the clips they were "
        f"fitted on, {np.nanmean(half):.3f} with 0.5 for all",
        err=True,
    )


def _print(
    models: list["Measurement"],
    compared: list["Measurement"],
    as_json: bool,
    classes: int | None,
) -> None:
    """Print the evaluation of each model and, if there is something to compare, the comparison."""
    from audiotag.evaluation.comparison import compare
    from audiotag.evaluation.evaluate import summarise
    from audiotag.models.evaluation_record import to_json

    evaluations = [summarise(run) for run in models + compared]
    comparison = compare(models, compared) if compared else None
    if as_json:
        for record in (*evaluations, *([] if comparison is None else [comparison])):
            click.echo(to_json(record))
        return
    from audiotag.cli.tables.evaluate import print_comparison, print_confusion, print_evaluation

    for evaluation in evaluations:
        print_evaluation(evaluation, classes)
        if comparison is None and evaluation.confusion is not None:
            print_confusion(evaluation.confusion)
    if comparison is not None:
        print_comparison(comparison)
