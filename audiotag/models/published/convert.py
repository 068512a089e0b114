"""Published checkpoints become model folders.

`layouts` recognises the layout of a checkpoint by its keys; `READERS` has a reader for each layout.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audiotag.backbones import ced, convnext, convnext_at, fastvit, metaformer, mobilenet
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.folder import CONFIG_FILE
from audiotag.models.model import Model
from audiotag.models.published.efficientat import (
    UNKNOWN,
    MelFrames,
    check_head,
    read_mel_frames,
)
from audiotag.models.published.layouts import (
    CED,
    CED_HUB,
    CONVFORMER,
    CONVNEXT,
    CONVNEXT_TINY_AT,
    EFFICIENTAT,
    FASTVIT,
    SHOWN,
    Layout,
    first,
    recognise,
)
from audiotag.models.published.weights import read_weights

POSITIONS, SIGMAS = ".P", ".SIG"  # how the keys of DCLS parameters end
BILINEAR_COUNT = 34  # elements of the reference's only bilinear model, whose kernel is 17x17
# Parts of EfficientAT's keys, and torchvision's for the same tensors.
EFFICIENTAT_KEYS = {
    ".conc_se_layers.0.": ".",
    "classifier.2.": "classifier.0.",
    "classifier.5.": "classifier.3.",
}
# What stands before the mean of a run's weights, or before weights that follow slowly.
AVERAGE = re.compile(r"ema|average|avg|swa|shadow|momentum")
State = dict[str, Tensor]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reader:
    """How to read a layout.

    Attributes:
        classifier: Key of the last layer's weight.
        config: Function from the published tensors to the config of a model.
        rename: Function from the published tensors, and a backbone, to its state dict.
    """

    classifier: str
    config: Callable[[State, Labels], ModelConfig]
    rename: Callable[[State, Any], State]


def convert(
    checkpoint: Path, out: Path, architecture: str | None = None, frames: MelFrames = UNKNOWN
) -> Path:
    """Write a published checkpoint as a model folder.

    Args:
        checkpoint: A .pt, .pth or .safetensors file. Nothing pickled in it is ever run.
        out: The model folder to make.
        architecture: Build this architecture instead of the recognised one.
        frames: The front end of an EfficientAT model whose file's name does not tell it.

    Returns:
        The model folder.

    Raises:
        ModelError: If the file cannot be read, would run code, has an unknown layout, does not fit
            the architecture or does not tell its front end, or if `out` holds a model already.
    """
    check_new(out)
    import_checkpoint(checkpoint, architecture, frames).save(out)
    return out


def check_new(out: Path) -> None:
    """Raise a ModelError if a folder holds a model already."""
    if (out / CONFIG_FILE).exists():
        raise ModelError(f"{out} already holds a model; delete it or name another folder")


def import_checkpoint(
    checkpoint: Path,
    architecture: str | None = None,
    frames: MelFrames = UNKNOWN,
    name: str | None = None,
) -> Model:
    """The model of a published checkpoint; errors as `convert`.

    Args:
        checkpoint, architecture, frames: As of `convert`.
        name: What its publisher calls it; by its file and folder unless given.
    """
    layout, published = _find_model(read_weights(checkpoint), checkpoint)
    reader = READERS[layout]
    config = reader.config(published, _labels(published, layout, reader.classifier))
    if layout == EFFICIENTAT:
        names = (checkpoint.stem, checkpoint.resolve().parent.name) if name is None else (name,)
        known = read_mel_frames(names, frames, name or checkpoint)
        check_head(published, checkpoint)
        config = replace(config, front_end_args=known.arguments)
    elif frames != UNKNOWN:
        raise ModelError(
            f"{checkpoint} is a {layout.name} model, whose front end is known; leave out --mels "
            "and --hop"
        )
    if architecture not in (None, config.architecture):
        config = replace(config, architecture=architecture, model_args={})
    tagger = Model.create(config)
    state = _renamed(published, reader, tagger, checkpoint)
    _check_fit(tagger.backbone.state_dict(), state, checkpoint, config.architecture)
    tagger.backbone.load_state_dict(state)
    _check_shared(tagger.backbone.state_dict(), state, checkpoint)
    return tagger.eval()


def _find_model(tensors: State, checkpoint: Path) -> tuple[Layout, State]:
    """The layout of a checkpoint, and its model's tensors by the publisher's own names.

    Of weights and their average the weights are taken, and a warning says so.

    Raises:
        ModelError: If no layout is known, or several models are there.
    """
    layout, prefixes = recognise(tensors.keys(), checkpoint)
    averages = {prefix for prefix in prefixes if AVERAGE.search(prefix)}
    own = [prefix for prefix in prefixes if prefix not in averages] or list(prefixes)
    states = [
        {key.removeprefix(x): tensor for key, tensor in tensors.items() if key.startswith(x)}
        for x in own
    ]
    if any(not _are_equal(states[0], state) for state in states[1:]):
        raise ModelError(
            f"{checkpoint} holds several models, under {_named(own)}; save the one that is meant "
            "on its own"
        )
    if averages:
        logger.warning("%s: of %s, took %s", checkpoint, _named(prefixes), _named(own[:1]))
    return layout, states[0]


def _are_equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(x, other[k]) for k, x in one.items())


def _named(prefixes: Sequence[str]) -> str:
    return " and ".join(prefix.removesuffix(".") or "no name" for prefix in prefixes)


def _labels(published: State, layout: Layout, classifier: str) -> Labels:
    """The names of the classes: AudioSet's if their number fits. Checkpoints hold no names."""
    labels = Labels.audioset()
    classes = next(iter(published[classifier].shape), 0)
    if classes != len(labels):
        raise ModelError(
            f"{layout.name} checkpoint with {classes} classes, whose names it does not hold; "
            f"convert one with AudioSet's {len(labels)}, then fine-tune it"
        )
    return labels


def _renamed(published: State, reader: Reader, tagger: Model, checkpoint: Path) -> State:
    try:
        return reader.rename(published, tagger.backbone)
    except (KeyError, RuntimeError) as error:  # a tensor that the model lacks, or a wrong size
        raise ModelError(
            f"{checkpoint} does not fit {tagger.config.architecture} ({error}); "
            "check the file, or name the architecture with --arch"
        ) from error


def _check_fit(model: State, state: State, checkpoint: Path, architecture: str) -> None:
    """Raise a ModelError naming the first tensors in which the two differ."""
    expected = {key: tuple(tensor.shape) for key, tensor in model.items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    wrong = [key for key in expected | found if expected.get(key) != found.get(key)]
    if wrong:
        shown = "; ".join(
            f"{key} expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}"
            for key in wrong[:SHOWN]
        )
        raise ModelError(
            f"{checkpoint} does not fit {architecture} in {len(wrong)} tensors ({shown}); "
            "check the file, or name the architecture with --arch"
        )


def _check_shared(model: State, state: State, checkpoint: Path) -> None:
    """Raise a ModelError if blocks that share positions here have different ones there."""
    lost = [
        key
        for key, tensor in state.items()
        if key.endswith((POSITIONS, SIGMAS)) and not torch.equal(model[key], tensor.to(model[key]))
    ]
    if lost:
        raise ModelError(
            f"{checkpoint} has positions of its own in {first(lost)}; "
            "only models whose stages share them can be converted"
        )


def _convnext_config(published: State, labels: Labels) -> ModelConfig:
    weight = published["stages.0.0.dwconv.weight"]
    if _is_bilinear(published) and weight.shape[-1] == BILINEAR_COUNT:
        return ModelConfig("convnext_dcls_audio_tiny17", labels)
    return _config_of("convnext_audio_tiny", "convnext_dcls_audio_tiny")(published, labels)


def _config_of(baseline: str, dcls: str) -> Callable[[State, Labels], ModelConfig]:
    def config(published: State, labels: Labels) -> ModelConfig:
        has_positions = any(key.endswith(POSITIONS) for key in published)
        return ModelConfig(dcls if has_positions else baseline, labels)

    return config


def _is_bilinear(published: State) -> bool:
    ends = {f".{key.rpartition('.')[2]}" for key in published}
    return POSITIONS in ends and SIGMAS not in ends


def _rename_convnext(published: State, backbone: Any) -> State:
    if _is_bilinear(published):
        # The reference's bilinear models are of the dcls package's version "v0": as "v1", except
        # that P holds the row first, then the column.
        published = {
            key: tensor.flip(0) if key.endswith(POSITIONS) else tensor
            for key, tensor in published.items()
        }
    return convnext.from_reference(published, backbone)


def _convnext_at_config(published: State, labels: Labels) -> ModelConfig:
    front_end_args = dict(convnext_at.FRONT_END_ARGS)
    return ModelConfig("convnext_tiny_at", labels, front_end_args=front_end_args)


def _ced_config(published: State, labels: Labels) -> ModelConfig:
    """A CED of the published width, which takes what is at least a patch long."""
    width = len(published["outputlayer.0.weight"])
    architecture, model_args = ced.architecture_of(width)
    return ModelConfig(
        architecture, labels, model_args, front_end="ced_mel", min_duration=ced.MIN_DURATION
    )


def _efficientat_config(published: State, labels: Labels) -> ModelConfig:
    """EfficientAT's MobileNetV3 of any width (arXiv 2211.04772), with its own front end."""
    hidden_size = len(published["classifier.2.weight"])
    architecture, model_args = mobilenet.architecture_of(hidden_size)
    return ModelConfig(architecture, labels, model_args, front_end="efficientat_mel")


def _rename_efficientat(published: State, backbone: nn.Module) -> State:
    """EfficientAT's tensors with torchvision's names and shapes."""
    state = {}
    for key, tensor in published.items():
        if ".conc_se_layers." in key and tensor.ndim == 2:
            tensor = tensor[..., None, None]  # a Linear there, a 1x1 convolution here
        for theirs, ours in EFFICIENTAT_KEYS.items():
            key = key.replace(theirs, ours)
        state[key] = tensor
    return state


READERS = {
    CED: Reader("outputlayer.1.weight", _ced_config, ced.from_published),
    CED_HUB: Reader("outputlayer.1.weight", _ced_config, ced.from_published),
    EFFICIENTAT: Reader("classifier.5.weight", _efficientat_config, _rename_efficientat),
    CONVNEXT_TINY_AT: Reader(
        "head_audioset.weight", _convnext_at_config, convnext_at.from_reference
    ),
    CONVNEXT: Reader("head.weight", _convnext_config, _rename_convnext),
    CONVFORMER: Reader(
        "head.fc2.weight",
        _config_of("convformer_audio_s18", "convformer_dcls_audio_s18"),
        metaformer.from_reference,
    ),
    FASTVIT: Reader(
        "head.weight",
        _config_of("fastvit_audio_sa24", "fastvit_dcls_audio_sa24"),
        fastvit.from_reference,
    ),
}
