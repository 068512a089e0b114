"""AdamW with the parameter groups and the learning rate schedule of arXiv 2309.13972."""

import math

import torch
from torch import nn

from audiotag.recipe import OptimRecipe

POSITION_NAMES = ("P", "SIG")


def parameter_groups(model: nn.Module, recipe: OptimRecipe) -> list[dict]:
    """Groups for the optimiser: weights decay, one-dimensional tensors do not, and DCLS positions
    and sigmas do not either and learn `position_lr_scale` times as fast.

    A parameter that several modules share is taken once.
    """
    groups: dict[str, list[nn.Parameter]] = {"decay": [], "no_decay": [], "positions": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_group_of(name, parameter)].append(parameter)
    return [
        {
            "name": name,
            "params": parameters,
            "weight_decay": recipe.weight_decay if name == "decay" else 0.0,
            "lr_scale": recipe.position_lr_scale if name == "positions" else 1.0,
        }
        for name, parameters in groups.items()
        if parameters
    ]


def _group_of(name: str, parameter: nn.Parameter) -> str:
    if name.rpartition(".")[2] in POSITION_NAMES:
        return "positions"
    return "no_decay" if parameter.ndim <= 1 or name.endswith(".bias") else "decay"


def build_optimizer(model: nn.Module, recipe: OptimRecipe) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`."""
    groups = parameter_groups(model, recipe)
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps)


def learning_rate(step: int, warmup_steps: int, total_steps: int, recipe: OptimRecipe) -> float:
    """Learning rate of a step: linear from 0 over the warm-up, then a cosine to `min_lr`."""
    if step < warmup_steps:
        return recipe.lr * step / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
