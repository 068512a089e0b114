"""What a run came to: the better of the probe and what training made of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from audiotag.data.dataset import ClipDataset
from audiotag.models.folder import WEIGHTS_FILE
from audiotag.models.metrics_row import MetricsRow, read_metrics
from audiotag.models.model import Model, to_device
from audiotag.models.provenance import read_trained_on
from audiotag.runtime.files import replaced
from audiotag.training.finetune.thresholds import fit_thresholds
from audiotag.training.probe.probe import Probe, fit_probe, read_probe, save_probe
from audiotag.training.recipe.sections import PROBE, Recipe
from audiotag.training.resumed_data import described
from audiotag.training.run_folder.gain import is_gain
from audiotag.training.run_folder.history import LOWER_IS_BETTER
from audiotag.training.run_folder.kept_weights import checkpoint_file
from audiotag.training.setup import data_parts, kept_count


def outcome(
    out: Path, recipe: Recipe, data: Path, device: torch.device, seconds: float
) -> Iterator[str]:
    """Make the folder's weights the better ones; say what was reached, and in which time."""
    rows, metric = read_metrics(out), recipe.train.metric
    best, clips = _best(rows, metric), _validation_clips(out)
    if recipe.model.head != PROBE:
        fit_thresholds(out, recipe, data, device)
        yield f"full: {_measured(best, recipe, clips)}, {seconds:.0f} s"
        return
    probe = read_probe(out)
    yield f"probe: {_of_probe(probe, rows[0], recipe, clips)}, {probe.seconds:.1f} s"
    if recipe.train.epochs and recipe.train.final != "best":
        fit_thresholds(out, recipe, data, device)
        yield f"full: {_measured(rows[-1], recipe, clips)}, at the end"
        return
    if recipe.train.epochs:
        gains = best.step != rows[0].step and _gains(rows[0], best, metric, clips)
        yield _of_training(rows, best, recipe, clips, gains, seconds - probe.seconds)
        if gains:
            fit_thresholds(out, recipe, data, device)
            return
        _restore_start(out)
    if recipe.data.valid_percent is not None:
        yield _learn_all(out, recipe, data, device)


def _validation_clips(out: Path) -> int:
    trained_on = read_trained_on(out)
    assert trained_on is not None
    return trained_on.valid.clips


def _measured(row: MetricsRow, recipe: Recipe, clips: int) -> str:
    """The figure of a validation, and of which clips it is."""
    train_part, valid_part = data_parts(recipe)
    is_learnt = train_part == valid_part
    told = f"the {clips} clips that were learnt" if is_learnt else f"{clips} validation clips"
    return f"{recipe.train.metric} {row.figures.get(recipe.train.metric, math.nan):.4f} on {told}"


def _of_probe(probe: Probe, row: MetricsRow, recipe: Recipe, clips: int) -> str:
    """What the probe reached: in cross-validation, and on validation clips if there are such."""
    train_part, valid_part = data_parts(recipe)
    told = _cross_validated(probe)
    return told if train_part == valid_part else f"{told}; {_measured(row, recipe, clips)}"


def _of_training(
    rows: Sequence[MetricsRow],
    best: MetricsRow,
    recipe: Recipe,
    clips: int,
    gains: bool,
    seconds: float,
) -> str:
    """What training reached beyond the probe, and which of the two is kept."""
    if len(rows) == 1:
        return "training: left out, as the probe is so good that no gain could be told from chance"
    before = rows[0].figures.get(recipe.train.metric, math.nan)
    kept = "it is kept" if gains else "no more than chance: the probe is kept"
    return (
        f"training: {_measured(best, recipe, clips)} at best, the probe's {before:.4f}, "
        f"{seconds:.0f} s; {kept}"
    )


def _cross_validated(probe: Probe) -> str:
    """What a probe reached on clips that it had not learnt from."""
    if not probe.judged:
        return (
            f"{probe.clips} clips, of which none can be left out: give each label two recordings, "
            "of two groups where the table has groups"
        )
    of = "" if probe.judged == probe.clips else f"{probe.judged} of "
    return (
        f"{probe.figure} {probe.value:.4f} on {of}{probe.clips} clips in {probe.parts}-fold "
        "cross-validation"
    )


def _best(rows: Sequence[MetricsRow], metric: str) -> MetricsRow:
    """The row that a run ends with; of equal ones the earliest."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return max(rows, key=lambda row: sign * row.figures.get(metric, -sign * math.inf))


def _gains(start: MetricsRow, best: MetricsRow, metric: str, clips: int) -> bool:
    """Whether training is better than the probe: by more than chance, or in loss."""
    before, after = start.figures.get(metric, math.nan), best.figures.get(metric, math.nan)
    return after < before if metric in LOWER_IS_BETTER else is_gain(before, after, clips)


def _restore_start(out: Path) -> None:
    """Give a run's folder the weights before its first step."""
    with replaced(out / WEIGHTS_FILE) as file:
        file.write(save(load_file(checkpoint_file(out, 0)), metadata={"format": "pt"}))


def _learn_all(out: Path, recipe: Recipe, data: Path, device: torch.device) -> str:
    """Fit the head of a run's folder to all clips, those held out too."""
    tagger, trained_on = to_device(Model.load(out), device), read_trained_on(out)
    assert trained_on is not None
    part: dict[str, Any] = {"split": recipe.data.train_split}
    clips, kept = ClipDataset(data, **part), kept_count(recipe)
    probe = fit_probe(tagger, clips, clips.targets(tagger.labels).dense()[:, kept:], kept)
    former = tagger.config.thresholds
    thresholds = None if former is None else (*former[:kept], *probe.thresholds)
    tagger.config = replace(tagger.config, thresholds=thresholds)
    tagger.save(out)
    save_probe(probe, out)
    replace(trained_on, train=described(clips, part)).save(out)
    return f"probe, from all clips: {_cross_validated(probe)}"
