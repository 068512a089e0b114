"""Scores of clips, as they are heard in use."""

import numpy as np
import torch

from audiotag.data.dataset import ClipDataset
from audiotag.evaluation.hearing import compute_clips, equal_lengths
from audiotag.models.model import Model, to_device

BATCH_SIZE = 16  # clips heard at once


def clip_scores(model: Model, clips: ClipDataset, device: torch.device) -> np.ndarray:
    """Scores (N, classes) of clips, as `audiotag evaluate` gives them."""
    model = to_device(model, device)
    scores = np.zeros((len(clips), len(model.labels)))
    batches = equal_lengths(clips, BATCH_SIZE)
    for numbers, found in compute_clips(clips, batches, model, model.score_windows):
        scores[numbers] = found.max(1)
    return scores
