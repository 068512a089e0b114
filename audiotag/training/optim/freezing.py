"""Freezing: parts of a backbone keep their weights while the rest learns."""

from typing import Any, cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from audiotag.errors import RecipeError
from audiotag.training.optim.layer_depth import parameter_depths
from audiotag.training.recipe.sections import BACKBONE


def freeze(model: nn.Module, part: str | int) -> None:
    """Exclude parameters from learning.

    Args:
        model: A backbone, with the classifier that will learn.
        part: "backbone": all except the classifier; or a number: the stem and that many stages.
            With 0 everything learns.

    Raises:
        RecipeError: If there are no such stages.
    """
    if part == BACKBONE:
        model.requires_grad_(False)
        cast(Any, model).get_classifier().requires_grad_(True)
    elif part:
        _freeze_stages(model, cast(int, part))


def set_training(model: nn.Module, keeps_statistics: bool = False) -> None:
    """Put a model in training mode, and its frozen parts in evaluation mode: their batch norms keep
    their statistics, and no path is dropped.

    Args:
        model: The model.
        keeps_statistics: Whether all batch norms keep their statistics. Those of a batch of few
            clips would not fit a head that was fitted to the old ones.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        is_frozen = bool(parameters) and not any(x.requires_grad for x in parameters)
        if is_frozen or (keeps_statistics and isinstance(module, _BatchNorm)):
            module.eval()


def _freeze_stages(model: nn.Module, count: int) -> None:
    depths = parameter_depths(model, by_stage=True)
    stages = max(depths.values()) - 1
    if count > stages:
        raise RecipeError(
            f"model.freeze is {count}, but {type(model).__name__} has {stages} stages; lower it, "
            f'or say "{BACKBONE}"'
        )
    for name, parameter in model.named_parameters():
        if depths[name] <= count:
            parameter.requires_grad_(False)
