"""Published checkpoints become model folders.

`layouts` recognises the layout of a checkpoint by its keys; `READERS` has a reader for each layout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from audiotag.backbones import ced, convnext, convnext_at, fastvit, metaformer, mobilenet
from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.folder import CONFIG_FILE
from audiotag.models.model import Model
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
State = dict[str, Tensor]


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


def convert(checkpoint: Path, out: Path, architecture: str | None = None) -> Path:
    """Write a published checkpoint as a model folder.

    Args:
        checkpoint: A .pt, .pth or .safetensors file. Nothing pickled in it is ever run.
        out: The model folder to make.
        architecture: Build this architecture instead of the recognised one.

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


def import_checkpoint(
    checkpoint: Path,
    architecture: str | None = None,
    front_end_args: Mapping[str, Any] = MappingProxyType({}),
) -> Model:
    """The model of a published checkpoint; arguments and errors as `convert`.

    Args:
        checkpoint: As of `convert`.
        architecture: As of `convert`.
        front_end_args: What its front end has otherwise than others of its layout.
    """
    published = read_weights(checkpoint)
    layout = recognise(published.keys(), checkpoint)
    reader = READERS[layout]
    config = reader.config(published, _labels(published, layout, reader.classifier))
    if architecture not in (None, config.architecture):
        config = replace(config, architecture=architecture, model_args={})
    config = replace(config, front_end_args={**config.front_end_args, **front_end_args})
    tagger = Model.create(config)
    state = _renamed(published, reader, tagger, checkpoint)
    _check_fit(tagger.backbone.state_dict(), state, checkpoint, config.architecture)
    tagger.backbone.load_state_dict(state)
    _check_shared(tagger.backbone.state_dict(), state, checkpoint)
    return tagger.eval()


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
