"""Teachers: models whose outputs for the augmented clips are learnt.

Several teachers are combined by the weighted mean of their logits for each label (arXiv 1503.02531,
section 4). Embeddings and feature maps are those of the first one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

from audiotag.errors import RecipeError
from audiotag.label_set import Label, Labels
from audiotag.models.model import Model
from audiotag.models.transformers.folder import USES
from audiotag.tagging.load import load_tagger
from audiotag.training.distill import feature_maps
from audiotag.training.distill.embeddings import outputs
from audiotag.training.hearing import pooled_logits


@dataclass(frozen=True)
class OtherTeacher:
    """A further teacher, of which only scores are learnt.

    Attributes:
        tagger: The model.
        ours: Numbers of the labels that it has too (L,).
        theirs: Its own numbers of these labels (L,).
        weight: Of its logits in the mean, where the first teacher has 1.
    """

    tagger: Model
    ours: Tensor
    theirs: Tensor
    weight: float = 1.0

    def logits(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Logits (B, L) of waveforms (B, T) at a sample rate in Hz.

        A waveform shorter than the model takes is padded with silence, as in tagging.
        """
        waveform = _resampled(waveform, sample_rate, self.tagger)
        missing = round(self.tagger.min_duration * self.tagger.sample_rate) - waveform.shape[1]
        waveform = F.pad(waveform, (0, max(0, missing)))
        return pooled_logits(self.tagger, waveform)[:, self.theirs]


@dataclass(frozen=True)
class Answer:
    """The outputs of teachers for a batch of clips.

    Attributes:
        scores: Scores (B, classes), softened by the temperature.
        embeddings: Embeddings (B, D) of the first teacher; None if scores were stored.
        maps: Maps (B, channels, height, width) of the first teacher, by name, for the layers that
            are learnt.
    """

    scores: Tensor
    embeddings: Tensor | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Teachers:
    """Models whose outputs are learnt.

    They compute in full precision: bfloat16 changes a MobileNet's scores by up to 0.07.

    Attributes:
        first: The first teacher, whose embeddings and maps may be learnt too.
        others: Further teachers, of which only scores are learnt.
        layers: Names of the layers whose maps are learnt.
        temperature: Logits are divided by it.
        sample_rate: Sample rate of the waveforms, in Hz.
        shares_front_end: Whether the first teacher and the student have the same front end.
    """

    first: Model
    others: tuple[OtherTeacher, ...]
    layers: tuple[str, ...]
    temperature: float
    sample_rate: int
    shares_front_end: bool

    def features(self, waveform: Tensor) -> Tensor:
        """Maps (B, 1, mels, frames) that the first teacher takes, of waveforms (B, T)."""
        return self.first.features(_resampled(waveform, self.sample_rate, self.first))

    def answer(self, waveform: Tensor, features: Tensor) -> Answer:
        """Their outputs for waveforms (B, T).

        Args:
            waveform: The clips.
            features: Their maps (B, 1, mels, frames), as `features` makes them.
        """
        backbone = self.first.backbone
        with torch.no_grad(), feature_maps.tapped(backbone, self.layers) as maps:
            embeddings, logits = outputs(backbone, features)
            logits = mean_logits(logits, waveform, self.sample_rate, self.others)
            return Answer((logits / self.temperature).sigmoid(), embeddings, maps)

    def scores(self, waveform: Tensor) -> Tensor:
        """Their scores (B, classes) of waveforms (B, T), not softened."""
        logits = self.first.backbone(self.features(waveform))
        return mean_logits(logits, waveform, self.sample_rate, self.others).sigmoid()


def load_others(
    names: Iterable[str], labels: Labels, device: torch.device, weight: float = 1.0
) -> tuple[OtherTeacher, ...]:
    """Teachers by name, each with the labels that it shares, and with this weight.

    Raises:
        ModelError: If there is no such model.
        RecipeError: If it shares no label, or was trained to give each clip exactly one.
    """
    return tuple(replace(_load(name, labels, device), weight=weight) for name in names)


def mean_logits(
    logits: Tensor, waveform: Tensor, sample_rate: int, others: Iterable[OtherTeacher]
) -> Tensor:
    """For each label, the weighted mean logit of all teachers that have it.

    Args:
        logits: Logits (B, classes) of the first teacher.
        waveform: The waveforms (B, T).
        sample_rate: Their sample rate, Hz.
        others: The other teachers.
    """
    total, weights = logits.clone(), torch.ones(logits.shape[1], device=logits.device)
    for other in others:
        total[:, other.ours] += other.weight * other.logits(waveform, sample_rate)
        weights[other.ours] += other.weight
    return total / weights


def _resampled(waveform: Tensor, sample_rate: int, tagger: Model) -> Tensor:
    """Waveforms (B, T) of a sample rate in Hz at that of a model."""
    return torchaudio.functional.resample(waveform, sample_rate, tagger.sample_rate)


def _load(name: str, labels: Labels, device: torch.device) -> OtherTeacher:
    tagger = load_tagger(name, device.type)
    if not isinstance(tagger, Model):
        raise RecipeError(f"distill.other_teachers: {name} {USES}")
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
    """A key that identifies a label: AudioSet's machine id, as names are spelt in several ways."""
    return label.mid or label.name
