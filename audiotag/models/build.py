"""From a config to a network: with new weights, with those of an image model, or folded."""

import difflib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from audiotag.backbones import architectures
from audiotag.backbones.image_weights import load_vision_weights
from audiotag.errors import ModelError
from audiotag.layers.folding import take_folded_form
from audiotag.layers.swap import DclsArguments, swap_convs
from audiotag.models.checks import LOADING
from audiotag.models.config import ModelConfig
from audiotag.runtime.json_text import shown

# The functions themselves, not their names: if PyTorch drops one, importing this fails.
ARITHMETIC = {getattr(torch.Tensor, name) for name in ("add", "sub", "mul", "div", "sqrt")}
# What constructors raise for arguments that they cannot use.
UNFIT = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError),
)
NO_MEMORY = "can't allocate memory"  # in PyTorch's error, which has no kind of its own


class _NoInitialisation(TorchFunctionMode):
    """Skips operations that only set or compute values. On the meta device there are no values,
    and simulating these operations takes most of the time of building a network.

    Operations that set values are recognised by PyTorch's convention: a name with one underscore
    at its end.
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
    """The network of a folded config, on the meta device, with the shapes of these weights."""
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
    """The network of a config, with new weights or those of an image model.

    timm receives only arguments of the network's constructor. So nothing in a config can make it
    open a file or an address, except those of the image model.

    Raises:
        ModelError: If there is no such architecture, or it does not take an argument.
    """
    name = config.architecture
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise ModelError(
            f"unknown architecture {name!r}; choose {' or '.join(near) or 'a model of timm'}, or "
            f"one of {', '.join(architectures())}"
        )
    _check_arguments(config)
    try:
        backbone = timm.create_model(
            name, False, **{"in_chans": 1, "num_classes": len(config.labels), **config.model_args}
        )
    except UNFIT as error:
        if NO_MEMORY in str(error):
            raise MemoryError from error
        raise ModelError(f"{name}: {reason_of(error)}; check the arguments") from error
    if pretrained:
        load_vision_weights(backbone, name)
    if config.dcls is not None:
        swap_convs(backbone, **config.dcls)
    return backbone


def reason_of(error: Exception) -> str:
    """The first line of an error's message; the name of its type if it has none."""
    return str(error).partition("\n")[0] or type(error).__name__


def _check_arguments(config: ModelConfig) -> None:
    """Raise a ModelError for an argument that no network of the family takes."""
    name, arguments = config.architecture, config.model_args
    for key, value in (("in_chans", 1), ("num_classes", len(config.labels))):
        if arguments.get(key, value) != value:
            raise ModelError(f"{name}: {key} is {value}, not {shown(arguments[key])}; leave it out")
    known = _constructor_arguments(name) - LOADING
    for key in arguments:
        if key not in known:
            near = difflib.get_close_matches(key, known, 3) or sorted(known)
            raise ModelError(f"{name} takes no argument {key!r}; it takes {', '.join(near)}")


def _constructor_arguments(name: str) -> set[str]:
    """Names of the arguments of all networks in the file that defines an architecture."""
    family = vars(sys.modules[timm.model_entrypoint(name).__module__]).values()
    networks = (x for x in family if isinstance(x, type) and issubclass(x, nn.Module))
    found = (set(_parameters(network)) for network in networks)
    return {name for names in found if "num_classes" in names for name in names}


def _parameters(network: type[nn.Module]) -> Iterator[str]:
    """Names of a constructor's arguments, also of those that it passes on."""
    for cls in network.__mro__:
        if cls is nn.Module or "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(cls).parameters.values())
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                yield parameter.name
            if parameter.name == "dcls":
                yield from (field.name for field in fields(DclsArguments))
            if is_dataclass(parameter.annotation):  # its fields are arguments too
                yield from (field.name for field in fields(parameter.annotation))
        if not any(x.kind is x.VAR_KEYWORD for x in parameters):
            return
