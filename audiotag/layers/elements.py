"""Where the elements of a model's DCLS convolutions are, and the kernels that they make."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.errors import ModelError
from audiotag.layers.dcls import MIN_SIGMA, DclsConv2d


@dataclass(frozen=True, eq=False)
class StageElements:
    """The DCLS elements of one stage: consecutive convolutions with as many channels each.

    Attributes:
        convs: Number of convolutions.
        channels: Channels of each.
        size: Rows (mels) and columns (time) of their kernels.
        positions: Row and column of each element from the kernel's centre (2, N), in cells.
        widths: Width of each element in rows and columns (2, N), in cells: the standard deviation
            of a Gaussian, or half the base of a triangle; None for bilinear elements.
        kernel: Mean over all channels of the kernels' absolute values (rows, columns).
    """

    convs: int
    channels: int
    size: tuple[int, int]
    positions: np.ndarray
    widths: np.ndarray | None
    kernel: np.ndarray


def stage_elements(backbone: nn.Module, name: str) -> list[StageElements]:
    """The elements of every stage that has DCLS convolutions, in the order of the stages.

    Elements that convolutions share are counted once.

    Args:
        backbone: The network.
        name: What error messages call the model.

    Raises:
        ModelError: If there are none.
    """
    convs = [x for x in backbone.modules() if isinstance(x, DclsConv2d)]
    if not convs:
        raise ModelError(f"{name} has no DCLS convolutions; name a model that has")
    stages = groupby(convs, key=lambda conv: (conv.out_channels, conv.dilated_kernel_size))
    return [_stage(list(stage)) for _, stage in stages]


def _stage(convs: list[DclsConv2d]) -> StageElements:
    first = convs[0]
    owners = list({id(conv.P): conv for conv in convs}.values())
    with torch.no_grad():
        kernels = torch.stack([conv.kernel().abs().mean((0, 1)) for conv in convs])
        return StageElements(
            convs=len(convs),
            channels=first.out_channels,
            size=first.dilated_kernel_size,
            positions=np.concatenate([_by_row(conv.P) for conv in owners], axis=1),
            widths=None if first.SIG is None else np.concatenate(list(_widths(owners)), axis=1),
            kernel=kernels.mean(0).numpy(),
        )


def _widths(convs: list[DclsConv2d]) -> Iterator[np.ndarray]:
    for conv in convs:
        yield _by_row(conv.SIG.abs() + MIN_SIGMA[conv.version])


def _by_row(values: Tensor) -> np.ndarray:
    """Column and row (2, ...) of each element, as row and column (2, N)."""
    return values.flip(0).flatten(1).numpy()
