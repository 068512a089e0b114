"""Several teachers: the mean of their logits, label by label (arXiv 1503.02531, section 4)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

from audiotag.errors import RecipeError
from audiotag.labels import Label, Labels
from audiotag.models.model import Model
from audiotag.tagging.tagger import load_tagger


@dataclass(frozen=True)
class OtherTeacher:
    """A teacher beside the first, whose scores alone are learnt.

    Attributes:
        tagger: The model.
        ours: Numbers of the labels that it knows too (L,).
        theirs: Its numbers of the same labels (L,).
    """

    tagger: Model
    ours: Tensor
    theirs: Tensor

    def logits(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Logits (B, L) of waveforms (B, T) at a sample rate in Hz; silence follows
        what is shorter than it takes, as when it tags."""
        rate = self.tagger.sample_rate
        waveform = torchaudio.functional.resample(waveform, sample_rate, rate)
        missing = round(self.tagger.min_duration * rate) - waveform.shape[1]
        waveform = F.pad(waveform, (0, max(0, missing)))
        return self.tagger(waveform).float()[:, self.theirs]


def load_others(
    names: Iterable[str], labels: Labels, device: torch.device
) -> tuple[OtherTeacher, ...]:
    """Teachers by name, each with the labels that it shares.

    Raises:
        ModelError: If there is no such model.
        RecipeError: If it shares none, or its scores are not of each label by itself.
    """
    return tuple(_load(name, labels, device) for name in names)


def mean_logits(
    logits: Tensor, waveform: Tensor, sample_rate: int, others: Iterable[OtherTeacher]
) -> Tensor:
    """Mean over all teachers that know a label.

    Args:
        logits: The first teacher's (B, classes).
        waveform: What it heard, (B, T).
        sample_rate: Of the waveform, Hz.
        others: The other teachers.
    """
    total, count = logits.clone(), torch.ones(logits.shape[1], device=logits.device)
    for other in others:
        total[:, other.ours] += other.logits(waveform, sample_rate)
        count[other.ours] += 1
    return total / count


def _load(name: str, labels: Labels, device: torch.device) -> OtherTeacher:
    tagger = load_tagger(name, device.type)
    known = {_identity(label): number for number, label in enumerate(tagger.labels)}
    pairs = [(i, known[x]) for i, x in enumerate(map(_identity, labels)) if x in known]
    if not pairs:
        raise RecipeError(f"distill.other_teachers: {name} knows none of the teacher's labels")
    if tagger.config.softmax:
        raise RecipeError(
            f"distill.other_teachers: {name} gives each clip one label; choose one that was "
            'trained with train.task = "multi"'
        )
    ours, theirs = torch.tensor(pairs, device=device).unbind(1)
    return OtherTeacher(tagger, ours, theirs)


def _identity(label: Label) -> str:
    """What tells a label from others: AudioSet's id, as names are written in several ways."""
    return label.mid or label.name
