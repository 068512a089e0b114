"""The student: the model that learns, with everything that training changes."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from audiotag.models.model import Model
from audiotag.runtime.precision import SCALED
from audiotag.training.distill.embeddings import Matching
from audiotag.training.optim.optim import build_optimizer
from audiotag.training.recipe.sections import Recipe


@dataclass(frozen=True)
class Student:
    """The model that learns, with everything that training changes.

    Attributes:
        tagger: The model.
        network: Its backbone, compiled if the recipe says so.
        matching: The distance to a teacher's embeddings, whose linear map learns too; or None.
        average: Running average of the backbone's weights, or None.
        optimizer: The optimiser of everything that learns.
        scaler: Scales the loss if gradients are in half precision; else does nothing.
    """

    tagger: Model
    network: nn.Module
    matching: Matching | None
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    @property
    def is_single(self) -> bool:
        """Whether each clip has exactly one of the labels, and the loss is that of softmax."""
        return self.tagger.config.softmax

    @property
    def learner(self) -> nn.Module:
        """Everything that learns: the backbone, and `matching` if there is one."""
        if self.matching is None:
            return self.tagger.backbone
        return nn.ModuleList([self.tagger.backbone, self.matching])

    @property
    def saved_tagger(self) -> Model:
        """The model with the weights that are saved: the average, if there is one."""
        if self.average is None:
            return self.tagger
        average = self.average.module
        return Model(self.tagger.config, self.tagger.features, average, self.tagger.name)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The parts of the resumable state, except the optimiser and the scaler."""
        modules = {
            "model": self.tagger.backbone,
            "matching": self.matching,
            "average": self.average,
        }
        return {name: module for name, module in modules.items() if module is not None}


def build_student(recipe: Recipe, tagger: Model, matching: Matching | None) -> Student:
    """The student of a recipe, around a model on its device."""
    backbone, device = tagger.backbone, tagger.device
    optimizer = build_optimizer(backbone, recipe.optim)
    if matching is not None:
        parameters = list(matching.parameters())
        optimizer.add_param_group({"params": parameters, "weight_decay": 0.0, "lr_scale": 1.0})
    return Student(
        tagger=tagger,
        network=torch.compile(backbone) if recipe.train.compile else backbone,  # type: ignore[arg-type]
        matching=matching,
        average=_running_average(backbone, recipe.train.ema_decay),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.train.precision == SCALED),
    )


def _running_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
