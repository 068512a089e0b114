"""Teachers: models whose answers to the augmented clips are learnt.

The scores of several teachers are those of the mean of their logits, label by label (arXiv
1503.02531, section 4). Embeddings and feature maps are the first one's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

from audiotag.errors import RecipeError
from audiotag.label_set import Label, Labels
from audiotag.models.model import Model
from audiotag.tagging.load import load_tagger
from audiotag.training.distill import feature_maps
from audiotag.training.distill.embeddings import outputs
from audiotag.training.hearing import pooled_logits


@dataclass(frozen=True)
class OtherTeacher:
    """A teacher besides the first, whose scores alone are learnt.

    Attributes:
        tagger: The model.
        ours: Numbers of the labels that it knows too (L,).
        theirs: Its numbers of the same labels (L,).
    """

    tagger: Model
    ours: Tensor
    theirs: Tensor

    def logits(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Logits (B, L) of waveforms (B, T) at a sample rate in Hz.

        A waveform shorter than the model takes is followed by silence, as when it is tagged.
        """
        rate = self.tagger.sample_rate
        waveform = torchaudio.functional.resample(waveform, sample_rate, rate)
        missing = round(self.tagger.min_duration * rate) - waveform.shape[1]
        waveform = F.pad(waveform, (0, max(0, missing)))
        return pooled_logits(self.tagger, waveform)[:, self.theirs]


@dataclass(frozen=True)
class Answer:
    """What teachers say of a batch of clips.

    Attributes:
        scores: Softened scores (B, classes).
        embeddings: The first teacher's (B, D); None where scores were stored.
        maps: The first teacher's maps (B, channels, height, width) of the layers that are learnt,
            by name.
    """

    scores: Tensor
    embeddings: Tensor | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Teachers:
    """Models whose answers are learnt.

    They compute in full precision: bfloat16 moves a MobileNet's scores by up to 0.07.

    Attributes:
        first: The teacher, whose embeddings and maps may be learnt too.
        others: Teachers besides it, whose scores alone are learnt.
        layers: Names of the layers whose maps are learnt.
        temperature: Logits are divided by it.
        sample_rate: Of the waveforms, in Hz.
        shares_front_end: Whether the first teacher's front end is the student's.
    """

    first: Model
    others: tuple[OtherTeacher, ...]
    layers: tuple[str, ...]
    temperature: float
    sample_rate: int
    shares_front_end: bool

    def answer(self, waveform: Tensor, features: Tensor) -> Answer:
        """What they say of waveforms (B, T).

        Args:
            waveform: The clips.
            features: What the first teacher's front end makes of them, (B, 1, mels, frames).
        """
        backbone = self.first.backbone
        with torch.no_grad(), feature_maps.tapped(backbone, self.layers) as maps:
            embeddings, logits = outputs(backbone, features)
            logits = mean_logits(logits, waveform, self.sample_rate, self.others)
            return Answer((logits / self.temperature).sigmoid(), embeddings, maps)

    def scores(self, waveform: Tensor) -> Tensor:
        """Their scores (B, classes) of waveforms (B, T), not softened."""
        logits = self.first(waveform)
        return mean_logits(logits, waveform, self.sample_rate, self.others).sigmoid()


def load_others(
    names: Iterable[str], labels: Labels, device: torch.device
) -> tuple[OtherTeacher, ...]:
    """Teachers by name, each with the labels that it shares.

    Raises:
        ModelError: If there is no such model.
        RecipeError: If it shares none, or gives each clip one label.
    """
    return tuple(_load(name, labels, device) for name in names)


def mean_logits(
    logits: Tensor, waveform: Tensor, sample_rate: int, others: Iterable[OtherTeacher]
) -> Tensor:
    """Mean over all teachers that know a label.

    Args:
        logits: The first teacher's (B, classes).
        waveform: What they are of, (B, T).
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
