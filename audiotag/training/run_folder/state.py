"""The resumable state of a run: weights, their average, the optimiser, in one safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from audiotag.errors import ModelError
from audiotag.runtime.files import replaced

STATE_FILE = "state.safetensors"
COUNT = "step"  # of the steps done, which LAMB keeps in each group and AdamW with each parameter


@dataclass(frozen=True)
class Position:
    """The position of a state in a run.

    Attributes:
        step: Steps done.
        loss: Sum of the losses of the epoch's steps so far.
    """

    step: int = 0
    loss: float = 0.0


def save_state(
    folder: Path,
    position: Position,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Write a state; an existing file is replaced when the new one is complete."""
    tensors = {
        f"{name}/{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    for index, group in enumerate(optimizer.param_groups):
        if COUNT in group:
            tensors[f"groups/{index}"] = group[COUNT]
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": tensor for key, tensor in values.items()}
    tensors = {key: x.detach().cpu().contiguous().clone() for key, x in tensors.items()}
    about = {"step": position.step, "loss": position.loss, "scaler": scaler.state_dict()}
    with replaced(folder / STATE_FILE) as file:
        file.write(to_bytes(tensors, metadata={k: json.dumps(v) for k, v in about.items()}))


def load_state(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> Position:
    """Load the saved state into modules, optimiser and scaler; returns its position in the run.

    Raises:
        ModelError: If there is no state, or it is damaged or another recipe's.
    """
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = {k: json.loads(v) for k, v in file.metadata().items()}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        for name, module in modules.items():
            module.load_state_dict(_part(tensors, name))
        _load_optimizer(optimizer, _part(tensors, "optimizer"))
        for index, count in _part(tensors, "groups").items():
            optimizer.param_groups[int(index)][COUNT] = count
        scaler.load_state_dict(about["scaler"])
        return Position(about["step"], about["loss"])
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, IndexError) as error:
        raise ModelError(
            f"{path} cannot be resumed ({error}); use the recipe it was written with, "
            "or train into another folder"
        ) from error


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = _laid_out_as(parameters[int(index)], tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The tensor in a parameter's memory layout, on which the rounding of norms depends."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
