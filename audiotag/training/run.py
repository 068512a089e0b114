"""The parts of a run: the model that learns, its clips and teachers, and the schedule."""

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
    """Clips with their labels or stored scores.

    Attributes:
        clips: Their waveforms.
        keys: Their keys (N,).
        targets: Their labels; None if only a teacher is learnt.
        scores: A teacher's stored scores (N, classes) of them, or None.
    """

    clips: Clips
    keys: np.ndarray
    targets: Targets | None
    scores: Tensor | None

    def __len__(self) -> int:
        return len(self.clips)


@dataclass(frozen=True)
class Run:
    """The parts of a run; `setup.start` builds them.

    Attributes:
        recipe: The recipe.
        device: The device to train on.
        schedule: How the run is divided into steps.
        student: The model that learns.
        teachers: Models whose outputs for the augmented clips are learnt, or None.
        training: The training clips; their stored scores are softened.
        validation: The validation clips.
        weights: How often to draw each training clip (N,), or None for equally often.
        augmentations: The augmentations of training clips.
        trained_on: The record of the clips in the run folder.
        probe: The results of the probe at the start, or None.
        kept: Number of the labels of the starting model that are kept: the first ones.
        former: The backbone before training, whose scores of the kept labels are learnt, or None.
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
        steps = schedule.warmup_steps, schedule.total_steps
        return learning_rate(step, *steps, self.recipe.optim, schedule.steps_per_epoch)
