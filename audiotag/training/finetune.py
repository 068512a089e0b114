"""Fine-tuning: a trained model adapted to the labels of a data set.

It begins with the probe: a head that logistic regression fits, in seconds, to the outputs of the
frozen backbone. Then all layers are trained, as long as validation improves. If the trained weights
are not better than the probe by more than chance, the probe is kept.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from audiotag.data.dataset import ClipDataset, read_labels, read_splits
from audiotag.evaluation.hearing import compute_clips, equal_lengths
from audiotag.label_set import is_negative
from audiotag.models.config import read_config
from audiotag.models.folder import RECIPE_FILE, WEIGHTS_FILE
from audiotag.models.metrics_row import MetricsRow, read_metrics
from audiotag.models.model import Model, to_device
from audiotag.models.provenance import read_trained_on
from audiotag.runtime.distributed import launched_rank
from audiotag.runtime.files import replaced
from audiotag.tagging.locate import model_folder
from audiotag.training.loop import train
from audiotag.training.probe.probe import Probe, fit_probe, read_probe, save_probe
from audiotag.training.recipe.finetune import (
    AUTO,
    FULL,
    SHORTEST_CROP,
    finetune_recipe,
    resumed_recipe,
    training_durations,
)
from audiotag.training.recipe.sections import BACKBONE, PROBE, Recipe
from audiotag.training.recipe.toml import override, parse_recipe
from audiotag.training.resumed_data import described
from audiotag.training.run_folder.history import LOWER_IS_BETTER
from audiotag.training.run_folder.kept_weights import checkpoint_file
from audiotag.training.setup import ACCURACY, data_parts, kept_count, labels_of

HELD_OUT = 20  # per cent of the recordings, where the data have no validation part
FEWEST_JUDGES = 30  # validation clips; fewer cannot show that training beats the probe
BATCH_SIZE = 16  # clips heard at once
OF_TRAINING = ("train.epochs=", "optim.", "augment.")  # setting one means that all layers learn


def finetune(
    model: str,
    data: Path,
    out: Path,
    device: torch.device,
    overrides: Iterable[str] = (),
    resume: bool = False,
    method: str | None = None,
    keep: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> tuple[str, ...]:
    """Adapt a trained model by a recipe that fits the number and the length of the clips.

    Args:
        model: Model folder, Hub id or "default".
        data: A prepared data set.
        out: The run folder; see `loop.train`.
        device: Where to train.
        overrides: Changes of the recipe; see `recipe.toml.override`.
        resume: Continue the run in `out`, if there is one, with its own recipe.
        method: "probe" (the backbone is not changed), "full" (all layers, from a random head) or
            "auto" (the probe; then all layers, if that is better); "auto" if None.
        keep: Add the labels to those of the model.
        tell: Called with each message before the training.

    Returns:
        Sentences about the results. If torchrun started several processes, none in all except the
        first.

    Raises:
        RecipeError, DataError, ModelError: As `loop.train`.
    """
    changes = [*overrides, *(["model.keep_labels=true"] if keep else [])]
    if resume and (out / RECIPE_FILE).exists():
        if method is not None:
            changes.insert(0, f'model.head="{"random" if method == FULL else PROBE}"')
        recipe = resumed_recipe(out, model, changes)
    else:
        recipe = _plan(model, data, changes, method or AUTO, keep, tell)
    for sentence in _warnings(recipe, data):
        tell(sentence)
    start = time.monotonic()
    train(recipe, data, out, device, resume)
    if launched_rank():
        return ()
    notes = _outcome(out, recipe, data, device, time.monotonic() - start)
    return (*notes, *_kept_labels(out, recipe, data, device))


def _plan(
    model: str,
    data: Path,
    changes: Sequence[str],
    method: str,
    keep: bool,
    tell: Callable[[str], None],
) -> Recipe:
    """The recipe of a new run."""
    part, sentence = _validation_part(data, changes, method)
    if sentence is not None:
        tell(sentence)
    config = read_config(model_folder(model))
    shortest = config.window or max(SHORTEST_CROP, config.min_duration)
    changes = [*part, *changes]
    if keep and method == FULL:
        changes = [f'model.head="{PROBE}"', 'train.final="last"', *changes]
    durations = training_durations(data, changes)
    recipe = finetune_recipe(model, durations, changes, shortest, method)
    if method == AUTO and not any(change.startswith(OF_TRAINING) for change in changes):
        if recipe.model.freeze == BACKBONE:
            recipe = finetune_recipe(model, durations, changes, shortest, PROBE)
        elif not _can_judge(recipe, data):
            if sentence is None:
                tell(f"fewer than {FEWEST_JUDGES} validation clips cannot tell if training helps")
            recipe = finetune_recipe(model, durations, changes, shortest, PROBE)
    if any(change.startswith("train.metric=") for change in changes):
        return recipe
    return _by_accuracy(recipe, data)


def _validation_part(
    data: Path, changes: Sequence[str], method: str
) -> tuple[list[str], str | None]:
    """Changes of the recipe that choose the validation clips, and a sentence about it; none if the
    data set or the other changes choose them."""
    wanted = parse_recipe({"data": override({}, changes).get("data", {})}).data
    if wanted.valid_fold is not None or wanted.valid_percent is not None:
        return [], None
    clips = ClipDataset(data, wanted.train_split)
    if wanted.valid_split in read_splits(data):
        return [], None
    told, is_few = f"{data} has no split {wanted.valid_split}", len(clips) < FEWEST_JUDGES
    if method == FULL and is_few:
        told = f"{told}, and too few clips to hold some out: validated on the training clips"
    elif method != FULL:
        told = f"{told}: the probe is cross-validated"
        is_few = method == PROBE or len(clips) * HELD_OUT / 100 < FEWEST_JUDGES
    if is_few:
        return [f'data.valid_split="{wanted.train_split}"'], f"{told}; all {len(clips)} are learnt"
    told = f"{told}; training is validated on {HELD_OUT} % of the recordings"
    return [f"data.valid_percent={HELD_OUT}"], told


def _can_judge(recipe: Recipe, data: Path) -> bool:
    """Whether there are enough validation clips that are not trained on."""
    train_part, valid_part = data_parts(recipe)
    return train_part != valid_part and len(ClipDataset(data, **valid_part)) >= FEWEST_JUDGES


def _by_accuracy(recipe: Recipe, data: Path) -> Recipe:
    """The recipe; with accuracy as its metric if every clip has exactly one label."""
    if recipe.train.task == "multi" or recipe.model.keep_labels:
        return recipe
    labels = labels_of(recipe, data)
    parts = (ClipDataset(data, **part).targets(labels) for part in data_parts(recipe))
    if not all(targets.is_single for targets in parts):
        return recipe
    return replace(recipe, train=replace(recipe.train, metric=ACCURACY))


def _warnings(recipe: Recipe, data: Path) -> Iterator[str]:
    """Messages about the labels: those that mean no label, and if no clip is without a label."""
    train_part, _ = data_parts(recipe)
    negatives = [x.name for x in read_labels(data) if is_negative(x.name)]
    if negatives and recipe.data.negatives:
        yield (
            f"{', '.join(negatives)}: taken for recordings of none of the labels; with --set "
            "data.negatives=false it is a label"
        )
    if recipe.data.label_set == "data":
        labels = labels_of(recipe, data)
        if not (ClipDataset(data, **train_part).targets(labels).sizes == 0).any():
            yield (
                "warning: every clip has one of the labels, so the model has never heard anything "
                "else and will call it one of them; add recordings of other sounds, in a folder "
                "called background or with an empty label"
            )


def _outcome(
    out: Path, recipe: Recipe, data: Path, device: torch.device, seconds: float
) -> Iterator[str]:
    """Put the better weights into the folder; sentences about the figures and the time."""
    rows, metric, trained_on = read_metrics(out), recipe.train.metric, read_trained_on(out)
    assert trained_on is not None
    judged = f"on {trained_on.valid.clips} validation clips"
    best = _best(rows, metric)
    if recipe.model.head != PROBE:
        yield f"full: {metric} {best.figures.get(metric, math.nan):.4f} {judged}, {seconds:.0f} s"
        return
    probe = read_probe(out)
    yield f"probe: {_cross_validated(probe)}, {probe.seconds:.1f} s"
    if recipe.train.epochs and recipe.train.final != "best":
        yield f"full: {metric} {rows[-1].figures.get(metric, math.nan):.4f} {judged}, at the end"
        return
    if recipe.train.epochs:
        gains = _gains(rows[0], best, metric, trained_on.valid.clips)
        before, after = (row.figures.get(metric, math.nan) for row in (rows[0], best))
        yield (
            f"training: {metric} {after:.4f} at best {judged}, the probe's {before:.4f}, "
            f"{seconds - probe.seconds:.0f} s; "
            + ("it is kept" if gains else "no more than chance: the probe is kept")
        )
        if gains:
            return
        _restore_start(out)
    if recipe.data.valid_percent is not None:
        yield _learn_all(out, recipe, data, device)


def _cross_validated(probe: Probe) -> str:
    """The figure of a probe on clips that it was not fitted to."""
    if not probe.judged:
        return f"{probe.clips} clips, of which none can be left out: give each label two recordings"
    return (
        f"{probe.figure} {probe.value:.4f} of {probe.judged} of {probe.clips} clips in "
        f"{probe.parts}-fold cross-validation"
    )


def _best(rows: Sequence[MetricsRow], metric: str) -> MetricsRow:
    """The row that a run ends with; of equal ones the earliest."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return max(rows, key=lambda row: sign * row.figures.get(metric, -sign * math.inf))


def _gains(start: MetricsRow, best: MetricsRow, metric: str, clips: int) -> bool:
    """Whether a row is better than the start by more than a standard error of a share of clips."""
    if best.step == start.step:
        return False
    before, after = start.figures.get(metric, math.nan), best.figures.get(metric, math.nan)
    if metric in LOWER_IS_BETTER:
        return after < before
    mean = min(max((before + after) / 2, 0.0), 1.0)
    return after - before > math.sqrt(mean * (1 - mean) / clips)


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


def _kept_labels(out: Path, recipe: Recipe, data: Path, device: torch.device) -> Iterator[str]:
    """How much the scores of the kept labels have changed, on the validation clips."""
    kept = kept_count(recipe)
    if not kept:
        return
    clips = ClipDataset(data, **data_parts(recipe)[1])
    before, after = (
        _scores(Model.load(folder), clips, device)[:, :kept]
        for folder in (model_folder(recipe.model.init), out)
    )
    moved, same = np.abs(after - before), before.argmax(1) == after.argmax(1)
    yield (
        f"the {kept} labels from before, on {len(clips)} clips: scores moved by {moved.max():.4f} "
        f"at most, {moved.mean():.4f} on average; the first of them is the same for "
        f"{same.mean():.0%}"
    )


def _scores(model: Model, clips: ClipDataset, device: torch.device) -> np.ndarray:
    """Scores (N, classes) of clips, as in `audiotag evaluate`."""
    model = to_device(model, device)
    scores = np.zeros((len(clips), len(model.labels)))
    batches = equal_lengths(clips, BATCH_SIZE)
    for numbers, found in compute_clips(clips, batches, model, model.score_windows):
        scores[numbers] = found.max(1)
    return scores
