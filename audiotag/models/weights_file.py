"""Facts about the weights in `model.safetensors`, read without torch."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from audiotag.errors import ModelError
from audiotag.models.config import ModelConfig
from audiotag.models.folder import WEIGHTS_FILE, regular

STATISTICS = ("running_mean", "running_var")  # of batch norms: stored, but not learnt
POSITIONS, SIGMAS = "P", "SIG"  # of a DCLS convolution's elements
FLOATS = "F", "BF"  # what names of floating-point types begin with
Tensor = dict[str, Any]  # shape, dtype and data


def count_parameters(folder: Path, config: ModelConfig) -> int:
    """Number of learnable numbers of the model in a folder.

    The file repeats positions that convolutions share; here they count once.

    Raises:
        ModelError: If its weights cannot be read.
    """
    path = folder / WEIGHTS_FILE
    with readable(path):
        tensors = {
            name: x for name, x in deserialize(regular(path).read_bytes()) if _is_learnt(name, x)
        }
    repeated = set(_repeated(tensors)) if _may_share(config) else set()
    return sum(math.prod(tensors[name]["shape"]) for name in tensors.keys() - repeated)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an error on reading a weights file into one that names the remedy.

    Raises:
        ModelError: If it cannot be read.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}); copy or pull the model again"
        ) from error


def _is_learnt(name: str, tensor: Tensor) -> bool:
    return tensor["dtype"].startswith(FLOATS) and name.rpartition(".")[2] not in STATISTICS


def _may_share(config: ModelConfig) -> bool:
    """Whether DCLS convolutions share positions, as they do unless an argument says otherwise."""
    arguments = {
        **config.model_args,
        **(config.model_args.get("dcls") or {}),
        **(config.dcls or {}),
    }
    return arguments.get("share", True)


def _repeated(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Names of positions that equal earlier ones, and of their sigmas."""
    seen = set()
    for name in sorted(name for name in tensors if name.rpartition(".")[2] == POSITIONS):
        content = bytes(tensors[name]["data"])
        if content in seen:
            yield name
            yield f"{name.removesuffix(POSITIONS)}{SIGMAS}"
        seen.add(content)
