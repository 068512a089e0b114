"""From a config to a network: with fresh weights, with an image model's, or in folded form."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from audiotag.backbones import architectures
from audiotag.backbones.image_weights import load_vision_weights
from audiotag.errors import ModelError
from audiotag.layers.folding import take_folded_form
from audiotag.layers.swap import swap_convs
from audiotag.models.config import ModelConfig

# The functions themselves: one that PyTorch no longer has fails here.
ARITHMETIC = {getattr(torch.Tensor, name) for name in ("add", "sub", "mul", "div", "sqrt")}


class _NoInitialisation(TorchFunctionMode):
    """Leaves out what only sets or computes values: on the meta device there are none, and PyTorch
    takes most of the time of building a network for pretending.

    What sets values is told by PyTorch's convention: its name ends in one underscore.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        is_in_place = name.endswith("_") and not name.endswith("__")
        if is_in_place or func is Tensor.__setitem__:
            return args[0] if args else kwargs["tensor"]  # as torch.nn.init passes it
        if func in ARITHMETIC:
            tensors = [x for x in args if isinstance(x, Tensor)]
            if all(x.is_meta for x in tensors):
                return tensors[0].new_empty(torch.broadcast_shapes(*(x.shape for x in tensors)))
        return func(*args, **kwargs)


def build_folded(config: ModelConfig, state: dict[str, Tensor]) -> nn.Module:
    """The network of a folded config on the meta device, in the shapes of its weights."""
    if config.dcls is not None:  # a dense start needs values
        config = replace(config, dcls={**config.dcls, "init": "random"})
    with torch.device("meta"), _NoInitialisation():
        backbone = build_backbone(config)
        take_folded_form(backbone, {key: x.shape for key, x in state.items()})
    stored = backbone.state_dict().keys()
    if missing := [name for name, _ in backbone.named_buffers() if name not in stored]:
        raise ModelError(
            f"{config.architecture} has buffers that no file holds ({missing[0]}), so it cannot be "
            "stored folded; save or push it unfolded"
        )
    return backbone


def build_backbone(config: ModelConfig, pretrained: bool = False) -> nn.Module:
    """The network of a config, with fresh weights or an image model's."""
    name = config.architecture
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise ModelError(
            f"unknown architecture {name!r}; choose {' or '.join(near) or 'a model of timm'}, or "
            f"one of {', '.join(architectures())}"
        )
    arguments = {"in_chans": 1, "num_classes": len(config.labels), **config.model_args}
    try:
        backbone = timm.create_model(name, **arguments)
    except (TypeError, AssertionError, ValueError) as error:
        raise ModelError(f"{name}: {error}; check the arguments") from error
    if pretrained:
        load_vision_weights(backbone, name)
    if config.dcls is not None:
        swap_convs(backbone, **config.dcls)
    return backbone
