"""How far a run has moved the scores of the labels that it kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from audiotag.data.dataset import ClipDataset
from audiotag.evaluation.hearing import compute_clips, equal_lengths
from audiotag.models.model import Model, to_device
from audiotag.tagging.locate import model_folder
from audiotag.training.recipe.sections import Recipe
from audiotag.training.setup import data_parts, kept_count

BATCH_SIZE = 16  # clips heard at once


def kept_labels(out: Path, recipe: Recipe, data: Path, device: torch.device) -> Iterator[str]:
    """How far the scores of the labels that were kept have moved, on the validation clips."""
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
        f"at most, {moved.mean():.4f} in the mean; the first of them is the same for "
        f"{same.mean():.0%}"
    )


def _scores(model: Model, clips: ClipDataset, device: torch.device) -> np.ndarray:
    """Scores (N, classes) of clips, as `audiotag evaluate` gives them."""
    model = to_device(model, device)
    scores = np.zeros((len(clips), len(model.labels)))
    batches = equal_lengths(clips, BATCH_SIZE)
    for numbers, found in compute_clips(clips, batches, model, model.score_windows):
        scores[numbers] = found.max(1)
    return scores
