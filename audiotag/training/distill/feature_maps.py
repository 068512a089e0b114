"""Learning a teacher's maps layer by layer: the hints of FitNets (arXiv 1412.6550).

A feature map teaches more than a score: each of its positions is an example. In blockwise
distillation (arXiv 1911.13053), each layer takes the teacher's map of the layer before, not the
student's. So all layers learn at the same time, and none has to wait for earlier ones.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.errors import RecipeError

SMALLEST = 1e-12  # avoids a division by zero for a constant map


def find_layers(backbone: nn.Module, pattern: str) -> tuple[str, ...]:
    """Names of the modules that match a pattern; `*` matches within one part of a dotted name."""
    parts = pattern.split(".")
    return tuple(
        name
        for name, _ in backbone.named_modules()
        if len(split := name.split(".")) == len(parts) and all(map(fnmatchcase, split, parts))
    )


@contextmanager
def tapped(
    backbone: nn.Module, layers: tuple[str, ...], given: Mapping[str, Tensor] | None = None
) -> Iterator[dict[str, Tensor]]:
    """A context with the maps (B, channels, height, width) of layers by name, which are filled in
    when the backbone computes.

    Args:
        backbone: The backbone.
        layers: Names of its modules.
        given: Maps by name that replace the outputs of layers as inputs of the next ones.
    """
    maps: dict[str, Tensor] = {}

    def tap(name: str) -> Callable[..., Tensor | None]:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            maps[name] = output
            return None if given is None else given[name]

        return hook

    with ExitStack() as stack:
        for name in layers:
            stack.enter_context(backbone.get_submodule(name).register_forward_hook(tap(name)))
        yield maps


def distance(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Mean squared difference of maps over the variance of the teacher's, averaged over layers.

    The variance is over clips and positions: the distance is 1 for a student that always returns
    the teacher's mean of each channel.
    """
    errors = []
    for name, wanted in teacher.items():
        spread = wanted.var((0, 2, 3), correction=0).mean()
        errors.append(F.mse_loss(student[name].float(), wanted) / spread.clamp(min=SMALLEST))
    return torch.stack(errors).mean()


def common_layers(
    student: nn.Module, teacher: nn.Module, pattern: str, maps: tuple[Tensor, Tensor]
) -> tuple[str, ...]:
    """Names of the layers that match a pattern in both backbones.

    Args:
        student, teacher: The backbones.
        pattern: As in `find_layers`.
        maps: Log-mel maps (1, 1, mels, frames) of the same audio, for the student and the teacher.

    Raises:
        RecipeError: If only one of them has a layer, or its outputs differ in shape or are not
            maps.
    """
    layers = find_layers(student, pattern)
    if not layers or layers != find_layers(teacher, pattern):
        raise RecipeError(
            f"distill.layers = {pattern!r} must stand for the same modules of model and teacher; "
            f"it finds {_listed(layers)} in the one and {_listed(find_layers(teacher, pattern))} "
            "in the other"
        )
    found = []
    for backbone, inputs in zip((student, teacher), maps, strict=True):
        with tapped(backbone, layers) as outputs, torch.inference_mode():
            backbone.eval()(inputs)
        found.append({name: getattr(outputs.get(name), "shape", ()) for name in layers})
    for name in layers:
        ours, theirs = (tuple(shapes[name]) for shapes in found)
        if ours != theirs or len(ours) != 4:
            raise RecipeError(
                f"distill.layers: {name} gives {ours} for the model and {theirs} for the teacher, "
                "and must give maps of the same shape; name other layers, or give both the same "
                "widths and front end"
            )
    return layers


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
