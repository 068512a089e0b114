"""Validation: how good a model is during training."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.evaluation.metrics import mean_average_precision
from audiotag.models.model import Model
from audiotag.runtime.precision import autocast
from audiotag.training.hearing import heard_clips, pooled_logits
from audiotag.training.losses import label_loss
from audiotag.training.run import Run

POSITIVE_SCORE = 0.5  # a teacher's score at which its tag counts as true


@dataclass(frozen=True)
class Validation:
    """The figures of the saved weights on the validation clips.

    Attributes:
        loss: Mean loss over the clips.
        mean_average_precision: Mean over the classes that have a clip; NaN if none has.
        accuracy: Fraction of clips whose first tag is their label; None if a clip may have several
            labels or none.
    """

    loss: float
    mean_average_precision: float
    accuracy: float | None


def validate(run: Run) -> Validation:
    """Measure a run on its validation clips, which it hears as in `audiotag evaluate`.

    If only a teacher is learnt, its tags of 0.5 or more count as the truth.
    """
    losses, scores, truths = [], [], []
    clips_of, seconds = run.validation.clips, max(run.recipe.data.crop_seconds)
    tagger = run.student.saved_tagger.eval()
    for clips, waveform in heard_clips(clips_of, tagger, run.schedule.micro_size, seconds):
        logits, targets = _compare(run, tagger, clips, waveform)
        losses.append(label_loss(logits, targets, run.student.is_single) * len(clips))
        scores.append(logits.cpu().numpy())
        truths.append(targets.cpu().numpy() >= POSITIVE_SCORE)
    truth, score = np.concatenate(truths), np.concatenate(scores)
    accuracy = None
    if run.student.is_single:
        score = F.log_softmax(torch.from_numpy(score), dim=1).numpy()
        accuracy = float((score.argmax(1) == truth.argmax(1)).mean())
    loss = float(torch.stack(losses).sum()) / len(run.validation)
    return Validation(loss, mean_average_precision(truth, score), accuracy)


def _compare(run: Run, tagger: Model, clips: Tensor, waveform: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets (B, classes) of clips (B,) of the validation split, and waveforms."""
    with torch.inference_mode():
        with autocast(run.device.type, run.recipe.train.precision):
            logits = pooled_logits(tagger, waveform)
        truth = _truth(run, clips, waveform).to(logits.device)
        return logits[:, run.kept :], truth[:, run.kept :]  # nothing is known about the kept labels


def _truth(run: Run, clips: Tensor, waveform: Tensor) -> Tensor:
    """Labels (B, classes) of validation clips (B,); without labels, a teacher's scores."""
    if run.validation.targets is not None:
        return torch.from_numpy(run.validation.targets.rows(clips.numpy()))
    if run.validation.scores is not None:
        return run.validation.scores[clips]
    assert run.teachers is not None
    return run.teachers.scores(waveform)
