"""Import of published checkpoints into model folders.

The layout of a checkpoint is recognised from its keys: `LAYOUTS` has one entry per publisher.
"""

import pickle
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from audiotag.backbones import mobilenet
from audiotag.errors import ModelError
from audiotag.labels import Labels
from audiotag.tagger import CONFIG_FILE, Tagger, TaggerConfig

PICKLE_SUFFIXES = (".pt", ".pth")
SAFETENSORS_SUFFIX = ".safetensors"
# The restricted unpickler raises what a damaged stream happens to lead it to.
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
SHOWN = 4  # keys or tensors named in an error message
# Parts of EfficientAT's keys, and torchvision's for the same tensors.
EFFICIENTAT_KEYS = {
    ".conc_se_layers.0.": ".",
    "classifier.2.": "classifier.0.",
    "classifier.5.": "classifier.3.",
}

State = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """A publisher's checkpoint format.

    Attributes:
        name: Shown to users.
        keys: Every checkpoint of this layout holds them, no checkpoint of another layout does.
        read: From the published tensors to a tagger's config and its backbone's state dict.
    """

    name: str
    keys: frozenset[str]
    read: Callable[[State], tuple[TaggerConfig, State]]

    def matches(self, keys: Collection[str]) -> bool:
        """Whether a checkpoint with these keys has this layout."""
        return self.keys.issubset(keys)


def convert(checkpoint: Path, out: Path, architecture: str | None = None) -> Path:
    """Write a published checkpoint as a model folder.

    Args:
        checkpoint: A .pt, .pth or .safetensors file. Nothing pickled in it is ever run.
        out: The model folder to make.
        architecture: Build this one instead of the one recognised.

    Returns:
        The model folder.

    Raises:
        ModelError: If the file cannot be read, holds more than tensors, has an unknown layout or
            does not fit the architecture, or if `out` holds a model already.
    """
    if (out / CONFIG_FILE).exists():
        raise ModelError(f"{out} already holds a model; delete it or name another folder")
    import_checkpoint(checkpoint, architecture).save(out)
    return out


def import_checkpoint(checkpoint: Path, architecture: str | None = None) -> Tagger:
    """The tagger in a published checkpoint; arguments and errors as `convert`."""
    published = read_checkpoint(checkpoint)
    config, state = recognise(published, checkpoint).read(published)
    if architecture not in (None, config.architecture):
        config = replace(config, architecture=architecture, model_args={})
    tagger = Tagger.create(config)
    _check_fit(tagger.backbone.state_dict(), state, checkpoint, config.architecture)
    tagger.backbone.load_state_dict(state)
    return tagger.eval()


def recognise(keys: Collection[str], checkpoint: Path) -> Layout:
    """The layout that has these keys.

    Raises:
        ModelError: If none has; it says what was expected and what was found.
    """
    for layout in LAYOUTS:
        if layout.matches(keys):
            return layout
    known = ", or ".join(f"{x.name} (with {', '.join(sorted(x.keys))})" for x in LAYOUTS)
    raise ModelError(f"{checkpoint} has an unknown layout: expected {known}; found {_first(keys)}")


def read_checkpoint(checkpoint: Path) -> State:
    """The named tensors in a file, on the CPU. Nothing pickled is ever run.

    Raises:
        ModelError: If the file is missing, damaged or of another kind, or holds more than tensors.
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


def _unpickle(checkpoint: Path) -> State:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except UNPICKLING_ERRORS as error:
        raise ModelError(
            f"{checkpoint} was refused and nothing in it was run: {_reason(error)}; "
            f"use a state dict saved on its own, or a {SAFETENSORS_SUFFIX} file"
        ) from error
    tensors = isinstance(state, dict) and all(isinstance(x, Tensor) for x in state.values())
    if not tensors:
        found = _first(state) if isinstance(state, dict) else f"a {type(state).__name__}"
        raise ModelError(f"{checkpoint} is not a plain state dict of tensors: found {found}")
    return dict(state)


def _reason(error: Exception) -> str:
    """What was wrong. PyTorch's own message goes on to advise loading the file unsafely."""
    wanted = re.search(r"GLOBAL `?([\w.]+)", str(error))
    return f"it asks for {wanted[1]}" if wanted else "it is damaged or not a state dict"


def _first(keys: Iterable[object]) -> str:
    names = [str(key) for key in keys]
    return f"{len(names)} keys: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"


def _check_fit(model: State, state: State, checkpoint: Path, architecture: str) -> None:
    """Raise a ModelError naming the first tensors in which the two differ."""
    expected = {key: tuple(tensor.shape) for key, tensor in model.items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    wrong = [key for key in expected | found if expected.get(key) != found.get(key)]
    if wrong:
        first = "; ".join(
            f"{key} expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}"
            for key in wrong[:SHOWN]
        )
        raise ModelError(
            f"{checkpoint} does not fit {architecture} in {len(wrong)} tensors ({first}); "
            "check the file, or name the architecture with --arch"
        )


def _read_efficientat(published: State) -> tuple[TaggerConfig, State]:
    """EfficientAT's MobileNetV3 of any width (arXiv 2211.04772), with its own front end."""
    labels = Labels.audioset()
    classes = len(published["classifier.5.weight"])
    if classes != len(labels):
        raise ModelError(
            f"EfficientAT checkpoint with {classes} classes, whose names it does not hold; "
            f"convert one with AudioSet's {len(labels)}, then fine-tune it"
        )
    hidden_size = len(published["classifier.2.weight"])
    architecture, model_args = mobilenet.architecture_of(hidden_size)
    config = TaggerConfig(architecture, labels, model_args, front_end="efficientat_mel")
    return config, _torchvision_state(published)


def _torchvision_state(published: State) -> State:
    """EfficientAT's tensors under torchvision's names and in its shapes."""
    state = {}
    for key, tensor in published.items():
        if ".conc_se_layers." in key and tensor.ndim == 2:
            tensor = tensor[..., None, None]  # a Linear there, a 1x1 convolution here
        for theirs, ours in EFFICIENTAT_KEYS.items():
            key = key.replace(theirs, ours)
        state[key] = tensor
    return state


LAYOUTS = (
    Layout(
        name="EfficientAT mn",
        keys=frozenset(
            {
                "features.15.block.2.conc_se_layers.0.fc1.weight",
                "classifier.2.weight",
                "classifier.5.weight",
            }
        ),
        read=_read_efficientat,
    ),
)
