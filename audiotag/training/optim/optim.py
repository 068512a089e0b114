"""AdamW or LAMB with the parameter groups and the learning rate schedule of arXiv 2309.13972."""

import math

import torch
from timm.optim import Lamb
from torch import nn

from audiotag.training.optim.layer_depth import parameter_depths
from audiotag.training.recipe.sections import OptimRecipe

POSITION_NAMES = ("P", "SIG")
DECAY, NO_DECAY, POSITIONS = "decay", "no_decay", "positions"


def parameter_groups(model: nn.Module, recipe: OptimRecipe) -> list[dict]:
    """Parameter groups for the optimiser.

    Weights decay; one-dimensional tensors and biases do not. DCLS positions and sigmas do not
    either, and have `position_lr_scale` times the learning rate. With a `layer_decay` below 1, each
    depth has its own groups, with `layer_decay` times the learning rate of the depth above.
    Parameters that several modules share are listed once, frozen ones not at all.

    Raises:
        RecipeError: As `parameter_depths`.
    """
    depths = parameter_depths(model) if recipe.layer_decay < 1 else {}
    deepest = max(depths.values(), default=0)
    groups: dict[tuple[str, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = _kind_of(name, parameter), depths.get(name, 0)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "name": kind,
            "depth": depth,
            "params": parameters,
            "weight_decay": recipe.weight_decay if kind == DECAY else 0.0,
            "lr_scale": (recipe.position_lr_scale if kind == POSITIONS else 1.0)
            * recipe.layer_decay ** (deepest - depth),
        }
        for (kind, depth), parameters in groups.items()
    ]


def _kind_of(name: str, parameter: nn.Parameter) -> str:
    if name.rpartition(".")[2] in POSITION_NAMES:
        return POSITIONS
    return NO_DECAY if parameter.ndim <= 1 or name.endswith(".bias") else DECAY


def build_optimizer(model: nn.Module, recipe: OptimRecipe) -> torch.optim.Optimizer:
    """The optimiser over `parameter_groups`; errors as there."""
    groups = parameter_groups(model, recipe)
    if recipe.name == "lamb":
        # The training loop clips gradients, by clip_grad, for every optimiser.
        return Lamb(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, max_grad_norm=None)
    fused = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return torch.optim.AdamW(
        groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, fused=fused or None
    )


def learning_rate(
    step: int, warmup_steps: int, total_steps: int, recipe: OptimRecipe, epoch_steps: int = 1
) -> float:
    """Learning rate of a step: linear from 0 over the warm-up, then a cosine to `min_lr`, or halved
    from epoch to epoch.

    Args:
        step: The step, from 0 on.
        warmup_steps: Steps of the warm-up.
        total_steps: Steps of the run.
        recipe: The rates.
        epoch_steps: Steps of an epoch, which matter to `halve_after` alone.
    """
    if step < warmup_steps:
        return recipe.lr * step / warmup_steps
    if recipe.halve_after is not None:
        halvings = max(0, step // epoch_steps - recipe.halve_after + 1)
        return max(recipe.min_lr, recipe.lr * 0.5**halvings)
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its multiple of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
