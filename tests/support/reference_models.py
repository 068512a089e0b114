"""Deterministic weights and input for which the reference implementation's logits are stored."""

import csv
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "reference"
INPUT_SHAPE = (2, 1, 128, 1001)


def state_dict(model: str) -> dict[str, torch.Tensor]:
    """Every tensor of the reference's model, filled by its key."""
    return {
        row["key"]: _fill(row.get("tied_to") or row["key"], _shape(row["shape"]))
        for row in _rows(model)
    }


def topel_state_dict() -> dict[str, torch.Tensor]:
    """ConvNeXt-Tiny-AT's tensors; those of its front end, which is computed, say nothing."""
    state = state_dict("topel_convnext_tiny_at")
    state["bn0.running_mean"] -= 30
    state["bn0.running_var"] *= 400
    return state


def maps() -> torch.Tensor:
    """The input (2, 1, 128, 1001)."""
    return torch.from_numpy(_normal("input", INPUT_SHAPE).astype(np.float32))


def ced_maps(frames: int) -> torch.Tensor:
    """CED's input (2, 1, 64, frames) in dB."""
    return torch.from_numpy(_normal(f"input{frames}", (2, 1, 64, frames)).astype(np.float32))


def ced_hub_keys(model: str) -> dict[str, str]:
    """The Hub's name of each of a CED's tensors, by its name on Zenodo."""
    return {row["key"]: row["hub key"] for row in _rows(model) if row["hub key"]}


def logits(model: str) -> torch.Tensor:
    """What the reference answers, (2, 527)."""
    return torch.from_numpy(np.load(FOLDER / f"{model}.logits.npy"))


def bar(model: str) -> float:
    """Largest difference allowed: 1e-4, and 5e-4 of the logits' standard deviation."""
    return min(1e-4, 5e-4 * logits(model).std().item())


def difference(model: torch.nn.Module, name: str) -> float:
    """Largest difference between a model's logits and the reference's."""
    with torch.inference_mode():
        return (model(maps()) - logits(name)).abs().max().item()


def _rows(model: str) -> list[dict[str, str]]:
    with (FOLDER / f"{model}.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _shape(text: str) -> tuple[int, ...]:
    return () if text == "scalar" else tuple(int(side) for side in text.split("x"))


def _normal(key: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)


def _fill(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    x, name = _normal(key, shape), key.rpartition(".")[2]
    if name == "num_batches_tracked":
        return torch.tensor(1)
    if name == "running_var":
        x = 0.5 + np.abs(x)
    elif name == "running_mean":
        x = 0.1 * x
    elif name == "P":
        x = np.clip(4 * x, -11, 11)
    elif name == "SIG":
        x = 0.23 + 0.5 * np.abs(x)
    elif name == "bias":
        x = 0.02 * x
    elif name.endswith("pos_embed"):
        x = 0.1 * x
    elif name.startswith("layer_scale") or name == "gamma":
        x = 0.1 * x
    elif x.ndim <= 1 or name == "scale":
        x = 1 + 0.1 * x if name in ("weight", "scale") else 0.5 * x
    else:
        x = x * 0.5 / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(x, dtype=np.float32))
