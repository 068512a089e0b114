"""Building DCLS kernels and their gradients, by this package or by the `dcls` package."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from audiotag.benchmarks.models import SEED, Setting, spread_positions
from audiotag.layers.dcls import DclsConv2d

CHANNELS = (96, 192, 384, 768)  # of ConvNeXt-T's stages
KERNEL_SIZE, KERNEL_COUNT = 23, 26  # arXiv 2309.13972


@dataclass(frozen=True)
class KernelWork:
    """Building the kernels of one depthwise DCLS layer, and their gradients.

    Attributes:
        channels: Number of kernels.
        setting: Device and threads; its other fields are not used.
        package: Whether the `dcls` package builds them.
    """

    channels: int
    setting: Setting
    package: bool = False

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.way}, {self.channels} channels"

    @property
    def way(self) -> str:
        """The package that builds the kernels."""
        return "dcls package" if self.package else "audiotag"

    def start(self) -> Callable[[], object]:
        """Make the layer; returns a function that builds its kernels and their gradients."""
        torch.manual_seed(SEED)
        torch.set_num_threads(self.setting.threads)
        layer = DclsConv2d(
            self.channels,
            self.channels,
            KERNEL_COUNT,
            groups=self.channels,
            dilated_kernel_size=KERNEL_SIZE,
        )
        spread_positions(layer)
        layer.to(self.setting.device)
        upstream = torch.randn_like(layer.kernel())

        def step() -> None:
            layer.zero_grad()
            if self.package:
                kernel = layer.DCK(layer.weight, layer.P, layer.SIG)
            else:
                kernel = layer.kernel()
            kernel.backward(upstream)

        return step
