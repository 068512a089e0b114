"""State dicts as publishers write them, from this package's models by the layouts' differences.

Written for tests, apart from `audiotag.models.published.convert`, which goes the other way.
"""

import re

from torch import Tensor, nn

# Of arXiv 2309.13972's reference, ConvNeXt: pattern here, replacement there, in this order.
CONVNEXT_KEYS = (
    (r"^stem\.", "downsample_layers.0."),
    (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
    (r"^(stages\.\d)\.blocks\.", r"\1."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"\.mlp\.fc(\d)\.", r".pwconv\1."),
    (r"^head\.norm\.", "norm."),
    (r"^head\.fc\.", "head."),
)


def efficientat(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of an `mn` model as EfficientAT writes it, once its head was trained."""
    nn.init.normal_(model.get_submodule("classifier.3").bias, std=0.1)  # zero where it was not
    state = {}
    for key, tensor in model.state_dict().items():
        if gate := re.fullmatch(r"(.*\.block\.\d+)\.(fc[12]\.\w+)", key):
            key = f"{gate[1]}.conc_se_layers.0.{gate[2]}"
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        if layer := re.fullmatch(r"classifier\.([03])\.(\w+)", key):
            key = f"classifier.{int(layer[1]) + 2}.{layer[2]}"
        state[key] = tensor
    return state


def convnext(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of an audio ConvNeXt as arXiv 2309.13972's reference writes it."""
    state = {}
    for key, tensor in model.state_dict().items():
        for ours, theirs in CONVNEXT_KEYS:
            key = re.sub(ours, theirs, key)
        state[key] = tensor
    return state


def ced(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a CED as it lies on the Hub."""
    return {
        key if key.startswith("outputlayer.") else f"encoder.{key}": tensor
        for key, tensor in model.state_dict().items()
    }
