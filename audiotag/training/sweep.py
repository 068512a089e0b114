"""A sweep: a recipe is trained with every combination of some values."""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from audiotag.backbones.complexity import count_parameters
from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import hash_keys
from audiotag.errors import RecipeError
from audiotag.evaluation.folds import fold_runs, is_cross_validation, score_folds
from audiotag.evaluation.measurement import measure
from audiotag.evaluation.scoring import Scores, score
from audiotag.evaluation.summary import summarise
from audiotag.models.evaluation_record import Figure
from audiotag.models.folder import RECIPE_FILE, WEIGHTS_FILE
from audiotag.models.metrics_row import read_metrics
from audiotag.models.model import Model
from audiotag.runtime.distributed import launched_rank
from audiotag.runtime.figures import check_plot
from audiotag.runtime.hashes import sha256_of
from audiotag.runtime.timing import interleave
from audiotag.tagging.load import load_tagger
from audiotag.training.cross_validation import train_folds
from audiotag.training.loop import train
from audiotag.training.recipe.sections import DataRecipe, Recipe
from audiotag.training.recipe.toml import load_recipe
from audiotag.training.sweep_plot import plot_sweep
from audiotag.training.sweep_table import (
    FOLLOWED,
    PLOT_FILE,
    TABLE_FILE,
    Outcome,
    SweepRow,
    write_table,
)

OWN = ("figure", "value")  # of an outcome; the rest is an evaluation's
TIMED_CLIPS = 4  # in a batch
TIMED_RUNS = 5  # of each model
SEPARATOR = re.compile(r",(?![^\[]*\])")  # a comma that is not inside a list
Report = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """One combination of values.

    Attributes:
        values: The values, as `key=value`.
        recipe: The recipe with these values.
    """

    values: tuple[str, ...]
    recipe: Recipe

    @property
    def name(self) -> str:
        """The name of its folder."""
        return ",".join(self.values).replace("/", "_")


def read_points(recipe: Path, overrides: Sequence[str], axes: Sequence[str]) -> list[Point]:
    """The combinations of a sweep, each with its recipe.

    Args:
        recipe: A recipe file.
        overrides: `key=value`, the same for all.
        axes: `key=value,value,...`; the last varies fastest.

    Raises:
        RecipeError: If one has no values or a key twice, or a value does not fit.
    """
    choices = [_choices(axis) for axis in axes]
    keys = [choice[0].partition("=")[0] for choice in choices]
    if len(set(keys)) < len(keys):
        raise RecipeError("--sweep names a key twice; write its values after each other: key=1,2")
    combinations = list(itertools.product(*choices))
    return [Point(values, load_recipe(recipe, [*overrides, *values])) for values in combinations]


def sweep(
    points: Sequence[Point],
    data: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    folds: bool = False,
    report: Report = lambda message: None,
) -> list[SweepRow]:
    """Train and measure every combination, write the table and draw the picture.

    Under torchrun all processes train. Then only the first one measures, while the others wait; the
    others return no rows.

    Args:
        points: See `read_points`.
        data: A prepared data set.
        out: Folder for a run, or a cross-validation, of each.
        device: The device to train and measure on.
        resume: Resume runs that were started.
        folds: Cross-validate each combination.
        report: Called with the name of each step, in the first process.

    Raises:
        AudioTagError: As `training.train` and `check_plot`.
    """
    check_plot(out / PLOT_FILE)
    runs = [out / point.name for point in points]
    for number, (point, run) in enumerate(zip(points, runs, strict=True), start=1):
        if not launched_rank():
            report(f"{number} of {len(points)}: {point.name}")
        if folds:
            train_folds(point.recipe, data, run, device, resume)
        else:
            train(point.recipe, data, run, device, resume and (run / RECIPE_FILE).exists())
    if launched_rank():
        return []
    speeds = _throughputs(runs, points, device.type)
    rows = [
        _row(point, run, _outcome(run, point.recipe.data, data, device.type), speed)
        for point, run, speed in zip(points, runs, speeds, strict=True)
    ]
    write_table(rows, out / TABLE_FILE)
    plot_sweep(rows, out / PLOT_FILE)
    return rows


def _choices(axis: str) -> list[str]:
    key, equals, values = axis.partition("=")
    choices = [value.strip() for value in SEPARATOR.split(values)]
    if not equals or not all(choices):
        raise RecipeError(f"--sweep {axis!r}: write section.key=value,value,...")
    return [f"{key}={value}" for value in choices]


def _throughputs(runs: Sequence[Path], points: Sequence[Point], device: str) -> list[float]:
    """Clips a second of each run's model, timed in turn."""
    works: dict[str, Callable[[], object]] = {}
    for run, point in zip(runs, points, strict=True):
        tagger = load_tagger(_model(run), device)
        samples = round(max(point.recipe.data.crop_seconds) * tagger.sample_rate)
        waveforms = 0.1 * torch.randn(TIMED_CLIPS, samples, device=tagger.device)
        works[point.name] = partial(tagger, waveforms)
    with torch.inference_mode():
        times = interleave(
            works, TIMED_RUNS, wait=torch.cuda.synchronize if device == "cuda" else None
        )
    return [TIMED_CLIPS / median(times[point.name]) for point in points]


def _model(run: Path) -> Path:
    """The model of a run, or of the first run of a cross-validation."""
    return next(iter(fold_runs(run).values()), run)


def _outcome(run: Path, recipe: DataRecipe, data: Path, device: str) -> Outcome:
    """How good a combination is on the clips that it was not trained on."""
    part = _part(run, recipe)
    clips = ClipDataset(data, **part)
    if not clips.targets(Model.load(_model(run)).labels).counts.any():
        value = fmean(_last_map(x) for x in fold_runs(run).values() or (run,))
        return Outcome(
            FOLLOWED,
            Figure(value, math.nan, math.nan),
            len(clips),
            keys=hash_keys(clips.keys.tolist()),
            data_hash=hash_keys(clips.hashes),
            split=part.get("split"),
            fold=part.get("fold"),
            weights_sha256=sha256_of(_model(run) / WEIGHTS_FILE),
        )
    if is_cross_validation(run):
        scores = Scores.join(score_folds(run, data, device))
    else:
        scores = score(load_tagger(run, device), data, **part)
    evaluation = summarise(measure(scores))
    figure = "accuracy" if "accuracy" in evaluation.figures else "mAP"
    same = {x.name: getattr(evaluation, x.name) for x in fields(Outcome) if x.name not in OWN}
    return Outcome(figure=figure, value=evaluation.figures[figure], **same)


def _last_map(run: Path) -> float:
    """Mean average precision of a run's last validation."""
    value = read_metrics(run)[-1].valid_map
    assert value is not None  # every validation measures it
    return value


def _part(run: Path, recipe: DataRecipe) -> dict[str, Any]:
    """The clips that a run was not trained on, as arguments of `ClipDataset`; for a
    cross-validation, all."""
    if is_cross_validation(run):
        return {}
    if recipe.valid_fold is not None:
        return {"fold": recipe.valid_fold}
    return {"split": recipe.valid_split}


def _row(point: Point, run: Path, outcome: Outcome, clips_per_second: float) -> SweepRow:
    return SweepRow(
        name=point.name,
        values=point.values,
        outcome=outcome,
        parameters=count_parameters(Model.load(_model(run)).backbone),
        clips_per_second=clips_per_second,
    )
