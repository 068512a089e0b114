"""Thresholds of the labels that training has changed, from the validation clips."""

from dataclasses import replace
from pathlib import Path

import torch

from audiotag.data.dataset import ClipDataset
from audiotag.evaluation.thresholds import best_threshold
from audiotag.models.model import Model
from audiotag.training.finetune.clip_scores import clip_scores
from audiotag.training.recipe.sections import Recipe
from audiotag.training.setup import data_parts, kept_count

UNJUDGED = 0.5  # of a label that no validation clip has


def fit_thresholds(out: Path, recipe: Recipe, data: Path, device: torch.device) -> None:
    """Store in a run's folder from which score on each new label counts as heard.

    Those of labels that were kept stay as they are. Where each clip has one label the highest
    score is the answer, and there are none.
    """
    model, kept = Model.load(out), kept_count(recipe)
    former = model.config.thresholds
    if model.config.softmax or (kept and former is None):
        return
    clips = ClipDataset(data, **data_parts(recipe)[1])
    heard = clips.targets(model.labels).dense()[:, kept:] > 0
    scores = clip_scores(model, clips, device)[:, kept:]
    found = [
        best_threshold(heard[:, i], scores[:, i])[0] if heard[:, i].any() else UNJUDGED
        for i in range(heard.shape[1])
    ]
    model.config = replace(model.config, thresholds=(*(former or ())[:kept], *found))
    model.save(out)
