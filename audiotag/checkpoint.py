"""The resumable state of a run: weights, their average, the optimiser, in one safetensors file."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from audiotag.errors import ModelError
from audiotag.replacing import replaced

STATE_FILE = "state.safetensors"
COUNT = "step"  # of the steps done, which LAMB keeps in each group and AdamW with each parameter


def save_state(
    folder: Path,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the state after `step` steps, moved into place when it is whole."""
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
    with replaced(folder / STATE_FILE) as file:
        file.write(to_bytes(tensors, metadata={"step": str(step)}))


def load_state(
    folder: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> int:
    """Put the saved state into modules and optimiser; returns the steps done.

    Raises:
        ModelError: If there is no state, or it is damaged or another recipe's.
    """
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        for name, module in modules.items():
            module.load_state_dict(_part(tensors, name))
        _load_optimizer(optimizer, _part(tensors, "optimizer"))
        for index, count in _part(tensors, "groups").items():
            optimizer.param_groups[int(index)][COUNT] = count
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be resumed ({error}); use the recipe it was written with, "
            "or train into another folder"
        ) from error
    return step


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
