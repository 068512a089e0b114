"""A run's parts: model, data, optimiser, and how they are shared between processes."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from audiotag.data.loading.clips import Clips
from audiotag.data.targets import Targets
from audiotag.models.model import Model
from audiotag.models.provenance import TrainedOn
from audiotag.training.distill import feature_maps
from audiotag.training.distill.embeddings import Matching, outputs
from audiotag.training.distill.teachers import OtherTeacher, mean_logits
from audiotag.training.optim.optim import learning_rate
from audiotag.training.recipe.toml import Recipe

ACCURACY = "valid_accuracy"  # a metric of single labels alone


@dataclass
class Run:
    """A run's parts.

    Attributes:
        tagger: The model that learns.
        network: Its backbone as it computes: compiled, or itself.
        teacher: The model whose scores are learnt, or nothing.
        others: Teachers beside it, whose scores alone are learnt.
        matching: Measures how far the embeddings are from the teacher's, or nothing.
        layers: Names of the layers whose maps are learnt from the teacher.
        stored: Softened scores (N, classes) to learn of the training clips, or nothing.
        average: Running average of the weights, or nothing.
        scaler: Scales the loss where gradients are in half precision; else does nothing.
        clips, targets, keys: Training clips, their labels and names.
        valid, valid_targets, valid_stored: Clips, labels and stored scores of the validation split.
        is_single: Whether a clip has exactly one of the labels, and the loss is of softmax.
        weights: How often to draw each clip (N,), or nothing.
        trained_on: What the folder says of the clips.
        rank, processes: This process's number, and how many there are.
    """

    recipe: Recipe
    device: torch.device
    tagger: Model
    network: nn.Module
    teacher: Model | None
    others: tuple[OtherTeacher, ...]
    matching: Matching | None
    layers: tuple[str, ...]
    stored: Tensor | None
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    clips: Clips
    targets: Targets | None
    keys: np.ndarray
    valid: Clips
    valid_targets: Targets | None
    valid_stored: Tensor | None
    is_single: bool
    weights: Tensor | None
    trained_on: TrainedOn
    rank: int
    processes: int

    @property
    def batch_size(self) -> int:
        """Clips of a step."""
        return min(self.recipe.train.batch_size, len(self.clips))

    @property
    def micro_size(self) -> int:
        """Clips that go through the model at once."""
        wanted = self.recipe.train.micro_batch or math.ceil(self.batch_size / self.processes)
        return min(wanted, self.batch_size)

    @property
    def micro_batches(self) -> int:
        """How many micro batches make a step, over all processes."""
        return math.ceil(self.batch_size / self.micro_size)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch."""
        clips = self.recipe.data.epoch_clips or len(self.clips)
        return max(1, clips // self.recipe.train.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.train.epochs

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds beside the optimiser."""
        modules = {
            "model": self.tagger.backbone,
            "matching": self.matching,
            "average": self.average,
        }
        return {name: module for name, module in modules.items() if module is not None}

    @property
    def learner(self) -> nn.Module:
        """All that learns: the backbone, and with it what compares embeddings."""
        if self.matching is None:
            return self.tagger.backbone
        return nn.ModuleList([self.tagger.backbone, self.matching])

    @property
    def saved_tagger(self) -> Model:
        """The tagger with the weights that are saved: the average where there is one."""
        if self.average is None:
            return self.tagger
        average = self.average.module
        return Model(self.tagger.config, self.tagger.features, average, self.tagger.name)

    @property
    def blockwise_steps(self) -> int:
        """Steps at the start in which hinted layers go on from the teacher's maps."""
        distill = self.recipe.distill
        return 0 if distill is None else round(distill.blockwise_epochs * self.steps_per_epoch)

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        warmup = round(self.recipe.optim.warmup_epochs * self.steps_per_epoch)
        return learning_rate(step, warmup, self.total_steps, self.recipe.optim)

    def rows(self, targets: Targets | None, clips: Tensor) -> Tensor:
        """Labels (B, classes) of clips (B,); zeros where there are none."""
        if targets is None:
            return torch.zeros(len(clips), len(self.tagger.labels))
        return targets.rows(clips)

    @property
    def hears_alike(self) -> bool:
        """Whether the teacher's front end is the student's."""
        if self.teacher is None:
            return False
        ours, theirs = self.tagger.resolved_config(), self.teacher.resolved_config()
        return (ours.front_end, ours.front_end_args) == (theirs.front_end, theirs.front_end_args)

    def teacher_answer(
        self, waveform: Tensor, heard: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The teachers' softened scores (B, classes), and the first one's embeddings (B, D) and
        maps by layer, of waveforms (B, T) and what its front end made of them. In full precision:
        bfloat16 moves a MobileNet's scores by up to 0.07.
        """
        assert self.teacher is not None
        backbone = self.teacher.backbone
        with torch.no_grad(), feature_maps.tapped(backbone, self.layers) as maps:
            embeddings, logits = outputs(backbone, heard)
            logits = mean_logits(logits, waveform, self.tagger.sample_rate, self.others)
            return (logits / temperature(self.recipe)).sigmoid(), embeddings, maps

    def teacher_scores(self, waveform: Tensor) -> Tensor:
        """The teachers' scores (B, classes) of waveforms (B, T)."""
        assert self.teacher is not None
        logits = self.teacher(waveform)
        return mean_logits(logits, waveform, self.tagger.sample_rate, self.others).sigmoid()


def temperature(recipe: Recipe) -> float:
    return 1.0 if recipe.distill is None else recipe.distill.temperature
