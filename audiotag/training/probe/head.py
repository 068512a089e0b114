"""The last layer of a classifier: its input, and its rows by number."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.models.calibration import Calibration
from audiotag.models.model import Model
from audiotag.training.probe.regression import Regression


def last_layer(backbone: nn.Module) -> nn.Linear | nn.Conv2d:
    """The layer that computes the logits: the classifier, or its last layer if it has several."""
    head = cast(Any, backbone).get_classifier()
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def replace_last_layer(backbone: nn.Module, classes: int, kept: int = 0) -> None:
    """Give a classifier a new last layer; layers before it are not changed.

    Args:
        backbone: The backbone with the classifier.
        classes: Rows of the new layer.
        kept: Number of rows of the old layer that become the first ones of the new layer.
    """
    before = last_layer(backbone)
    body = {k: x.clone() for k, x in cast(Any, backbone).get_classifier().state_dict().items()}
    cast(Any, backbone).reset_classifier(classes)
    head, after = cast(Any, backbone).get_classifier(), last_layer(backbone)
    shapes = {key: x.shape for key, x in head.state_dict().items()}
    same = {key: x for key, x in body.items() if x.shape == shapes.get(key)}
    head.load_state_dict(same, strict=False)
    with torch.no_grad():
        after.weight[:kept] = before.weight[:kept]
        cast(Tensor, after.bias)[:kept] = cast(Tensor, before.bias)[:kept]


def absorb_calibration(backbone: nn.Module, calibration: Calibration) -> None:
    """Merge a calibration into the last layer, so that the network's own scores are calibrated."""
    layer = last_layer(backbone)
    with torch.no_grad():
        layer.weight *= calibration.slope
        bias = cast(Tensor, layer.bias)
        bias.copy_(bias * calibration.slope + bias.new_tensor(calibration.biases))


def set_rows(backbone: nn.Module, first: int, found: Regression) -> None:
    """Write a regression into the rows of the last layer from `first` on."""
    layer = last_layer(backbone)
    with torch.no_grad():
        rows = layer.weight[first:]
        rows.copy_(found.weight.reshape(rows.shape))
        cast(Tensor, layer.bias)[first:].copy_(found.bias)


@contextmanager
def seen_by_head(model: Model) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """A context with a function: waveforms (B, T) -> inputs (B, D) of the last layer."""
    seen: list[Tensor] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().flatten(1).float().cpu())

    def see(waveforms: np.ndarray) -> np.ndarray:
        seen.clear()
        model.score_windows(waveforms)
        return seen[-1].numpy()

    handle = last_layer(model.backbone).register_forward_pre_hook(note)
    try:
        yield see
    finally:
        handle.remove()
