"""A run's parts: what learns, from which clips and teachers, and in which steps."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.data.loading.clips import Clips
from audiotag.data.targets import Targets
from audiotag.models.provenance import TrainedOn
from audiotag.training.augment.build import Augmentations
from audiotag.training.distill.teachers import Teachers
from audiotag.training.optim.optim import learning_rate
from audiotag.training.probe.probe import Probe
from audiotag.training.recipe.sections import Recipe
from audiotag.training.schedule import Schedule
from audiotag.training.student import Student


@dataclass(frozen=True)
class LabelledClips:
    """Clips with what is known of them.

    Attributes:
        clips: Their waveforms.
        keys: Their names (N,).
        targets: Their labels; None where a teacher alone is learnt.
        scores: Scores (N, classes) that a teacher stored of them, or nothing.
    """

    clips: Clips
    keys: np.ndarray
    targets: Targets | None
    scores: Tensor | None

    def __len__(self) -> int:
        return len(self.clips)


@dataclass(frozen=True)
class Run:
    """A run's parts; see `setup.start`.

    Attributes:
        recipe: What to do.
        device: Where it is done.
        schedule: How it is divided into steps.
        student: The model that learns.
        teachers: Models whose answers to the augmented clips are learnt, or nothing.
        training: The clips to learn from; stored scores of them are softened.
        validation: The clips to measure on.
        weights: How often to draw each training clip (N,), or nothing.
        augmentations: What is done to the clips.
        trained_on: What the run folder says of the clips.
        probe: What the head was fitted to at the start, or nothing.
        kept: How many labels the model had before, which it is to keep: the first ones.
        former: The backbone as it was before, whose scores of these labels are learnt; or nothing.
    """

    recipe: Recipe
    device: torch.device
    schedule: Schedule
    student: Student
    teachers: Teachers | None
    training: LabelledClips
    validation: LabelledClips
    weights: Tensor | None
    augmentations: Augmentations
    trained_on: TrainedOn
    probe: Probe | None = None
    kept: int = 0
    former: nn.Module | None = None

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        schedule = self.schedule
        return learning_rate(step, schedule.warmup_steps, schedule.total_steps, self.recipe.optim)
