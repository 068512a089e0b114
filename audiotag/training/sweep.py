"""A recipe trained at every combination of some values: accuracy against throughput."""

import csv
import io
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from audiotag.backbones.complexity import count_parameters
from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import hash_keys
from audiotag.errors import RecipeError
from audiotag.evaluation.evaluate import summarise
from audiotag.evaluation.measurement import measure
from audiotag.evaluation.scoring import Scores, score
from audiotag.models.evaluation_record import Figure
from audiotag.models.folder import METRICS_FILE, RECIPE_FILE
from audiotag.models.model import Model
from audiotag.runtime.distributed import launched_rank
from audiotag.runtime.files import replaced
from audiotag.runtime.timing import interleave
from audiotag.tagging.tagger import load_tagger
from audiotag.training.cross_validation import (
    fold_runs,
    is_cross_validation,
    score_folds,
    train_folds,
)
from audiotag.training.loop import train
from audiotag.training.recipe.toml import DataRecipe, Recipe, load_recipe
from audiotag.training.run_folder.history import read_rows

TABLE_FILE, PLOT_FILE = "sweep.csv", "sweep.png"
FOLLOWED = "mAP by the teacher's tags"  # of clips without labels, as the run's validation has it
TIMED_CLIPS = 4  # of a batch
TIMED_RUNS = 5
SEPARATOR = re.compile(r",(?![^\[]*\])")  # a comma that is not inside a list
Report = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """One combination.

    Attributes:
        values: What it sets, as `key=value`.
        recipe: The recipe with them.
    """

    values: tuple[str, ...]
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of its folder."""
        return ",".join(self.values).replace("/", "_")


@dataclass(frozen=True)
class Outcome:
    """How good a combination is.

    Attributes:
        figure: "accuracy" where each clip has one label, "mAP" where they have others, `FOLLOWED`
            where none has any.
        value: The figure on the clips that were not trained on, with its interval; that of
            `FOLLOWED` has none.
        clips: How many those are.
        keys: Hash of their names.
    """

    figure: str
    value: Figure
    clips: int
    keys: str


@dataclass(frozen=True)
class SweepRow:
    """What came out of one combination.

    Attributes:
        name: Its folder.
        values: What it sets, as `key=value`.
        outcome: How good it is.
        parameters: Trainable numbers.
        clips_per_second: From waveforms to scores, kernels built, timed with the others in turn.
    """

    name: str
    values: tuple[str, ...]
    outcome: Outcome
    parameters: int
    clips_per_second: float


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
    """Train and measure every combination, and write the table.

    Under torchrun all processes train; the first alone measures, while no other computes, and the
    others get no rows.

    Args:
        points: See `read_points`.
        data: A prepared data set.
        out: Folder for a run, or a cross-validation, of each.
        device: Where to train and to measure.
        resume: Go on with what was begun.
        folds: Cross-validate each.
        report: Called with what is being done.

    Raises:
        RecipeError, DataError, ModelError: As `training.train`.
    """
    runs = [out / point.name for point in points]
    for number, (point, run) in enumerate(zip(points, runs, strict=True), start=1):
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
    _write(rows, out / TABLE_FILE)
    return rows


def _choices(axis: str) -> list[str]:
    key, equals, values = axis.partition("=")
    choices = [value.strip() for value in SEPARATOR.split(values)]
    if not equals or not all(choices):
        raise RecipeError(f"--sweep {axis!r}: write section.key=value,value,...")
    return [f"{key}={value}" for value in choices]


def _throughputs(runs: Sequence[Path], points: Sequence[Point], device: str) -> list[float]:
    """Clips a second of each, timed in turn."""
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
    """A model of a run, or of a cross-validation: its first."""
    return next(iter(fold_runs(run).values()), run)


def _outcome(run: Path, recipe: DataRecipe, data: Path, device: str) -> Outcome:
    """What the clips that were not trained on say."""
    part = _part(run, recipe)
    clips = ClipDataset(data, **part)
    if not clips.targets(Model.load(_model(run)).labels).counts.any():
        last = [read_rows(x / METRICS_FILE)[-1] for x in fold_runs(run).values() or (run,)]
        value = fmean(row["valid_map"] for row in last)
        keys = hash_keys(clips.keys.tolist())
        return Outcome(FOLLOWED, Figure(value, math.nan, math.nan), len(clips), keys)
    if is_cross_validation(run):
        scores = Scores.join(score_folds(run, data, device))
    else:
        scores = score(load_tagger(run, device), data, **part)
    evaluation = summarise(measure(scores))
    figure = "accuracy" if "accuracy" in evaluation.figures else "mAP"
    return Outcome(figure, evaluation.figures[figure], evaluation.clips, evaluation.keys)


def _part(run: Path, recipe: DataRecipe) -> dict[str, Any]:
    """The clips that were not trained on, as arguments of `ClipDataset`: all, of a
    cross-validation."""
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


def _write(rows: Sequence[SweepRow], path: Path) -> None:
    """The table, a column for each key that varies."""
    header = [value.partition("=")[0] for value in rows[0].values]
    header += [rows[0].outcome.figure, "low", "high", "clips", "keys"]
    header += ["parameters", "clips_per_second"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values = [value.partition("=")[2] for value in row.values]
        reached, speed = row.outcome, f"{row.clips_per_second:.2f}"
        ends = [reached.value.value, reached.value.low, reached.value.high]
        texts = ["" if math.isnan(x) else f"{x:.6f}" for x in ends]
        writer.writerow([*values, *texts, reached.clips, reached.keys, row.parameters, speed])
    with replaced(path) as file:
        file.write(text.getvalue().encode())
