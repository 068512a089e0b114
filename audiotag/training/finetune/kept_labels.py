"""How far a run has moved the scores of the labels that it kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from audiotag.data.dataset import ClipDataset
from audiotag.models.model import Model
from audiotag.tagging.locate import model_folder
from audiotag.training.finetune.clip_scores import clip_scores
from audiotag.training.recipe.sections import Recipe
from audiotag.training.setup import data_parts, kept_count


def kept_labels(out: Path, recipe: Recipe, data: Path, device: torch.device) -> Iterator[str]:
    """How far the scores of the labels that were kept have moved, on the validation clips."""
    kept = kept_count(recipe)
    if not kept:
        return
    clips = ClipDataset(data, **data_parts(recipe)[1])
    before, after = (
        clip_scores(Model.load(folder), clips, device)[:, :kept]
        for folder in (model_folder(recipe.model.init), out)
    )
    moved, same = np.abs(after - before), before.argmax(1) == after.argmax(1)
    yield (
        f"the {kept} labels from before, on {len(clips)} clips: scores moved by {moved.max():.4f} "
        f"at most, {moved.mean():.4f} on average; the first of them is the same for "
        f"{same.mean():.0%}"
    )
