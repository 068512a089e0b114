"""The tensors of a published checkpoint file, read so that nothing pickled in it is ever run."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from audiotag.errors import ModelError
from audiotag.models.published.layouts import first

PICKLE_SUFFIXES = (".pt", ".pth")
SAFETENSORS_SUFFIX = ".safetensors"
ARCHIVE = b"PK\x03\x04"  # the first bytes of one, by which PyTorch recognises it too
# On a damaged file, the restricted unpickler may raise any of these.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The named tensors in a file, on the CPU. Nothing pickled is ever run.

    Of dictionaries in dictionaries, as a training checkpoint has them, keys are joined by a dot;
    what is not a tensor is left out. The arguments of a run may be an `argparse.Namespace`.

    Args:
        checkpoint: A .pt, .pth or .safetensors file.

    Raises:
        ModelError: If the file is missing, damaged, of another type, or needs code to be run.
    """
    suffix = checkpoint.suffix.lower()
    if suffix not in (*PICKLE_SUFFIXES, SAFETENSORS_SUFFIX):
        raise ModelError(
            f"{checkpoint} is not named as a checkpoint; "
            f"expected {', '.join(PICKLE_SUFFIXES)} or {SAFETENSORS_SUFFIX}"
        )
    try:
        return load_file(checkpoint) if suffix == SAFETENSORS_SUFFIX else _unpickle(checkpoint)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{checkpoint} cannot be read ({error}); download it again") from error


def _unpickle(checkpoint: Path) -> dict[str, Tensor]:
    _check_size(checkpoint)
    try:
        # Making a Namespace runs no code of the file; every other class is refused.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except UNPICKLING_ERRORS as error:
        raise ModelError(
            f"{checkpoint} was refused and nothing in it was run: {_reason(error)}; "
            f"use a state dict saved on its own, or a {SAFETENSORS_SUFFIX} file"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{checkpoint} holds no state dict: found a {type(content).__name__}")
    tensors = dict(_tensors(content, "", set()))
    if not tensors:
        raise ModelError(f"{checkpoint} holds no state dict of tensors: found {first(content)}")
    if odd := [key for key, x in tensors.items() if not _is_plain(x)]:
        raise ModelError(f"{checkpoint} holds no state dict of plain tensors: found {first(odd)}")
    return tensors


def _tensors(table: dict, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a table and of those in it, each of which is read once: a damaged file may
    hold one that holds itself."""
    seen.add(id(table))
    for key, value in table.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict) and id(value) not in seen:
            yield from _tensors(value, f"{prefix}{key}.", seen)


def _check_size(checkpoint: Path) -> None:
    """Raise a ModelError for an archive that holds more than its bytes: PyTorch compresses none of
    its files, nor lays one over another."""
    with checkpoint.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return  # of the time before PyTorch wrote archives, or none
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            held = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"{checkpoint} was refused: it is damaged; download it again") from error
    if held > checkpoint.stat().st_size:
        raise ModelError(
            f"{checkpoint} was refused: it would unpack to {held:,} bytes; save the state dict "
            "again with torch.save"
        )


def _is_plain(value: Tensor) -> bool:
    """Whether a value is a tensor of numbers that are all there."""
    return (
        value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex() or value.dtype == torch.bool)
    )


def _reason(error: Exception) -> str:
    """What is wrong with the file. PyTorch's own message also advises to load it unsafely."""
    wanted = re.search(r"GLOBAL `?([\w.]+)", str(error))
    return f"it asks for {wanted[1]}" if wanted else "it is damaged or not a state dict"
