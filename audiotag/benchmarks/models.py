"""Inference of models on random maps, as in `audiotag tag`, or a training step.

Weights are random. The positions of DCLS elements are uniform over the kernel: untrained positions
all lie near its centre, unlike a trained model's, and folding would trim the kernels to that.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import MethodType

import timm
import torch
from DCLS.construct.modules import Dcls2d
from torch import Tensor, nn

from audiotag.backbones import architectures
from audiotag.benchmarks.machine import default_threads
from audiotag.benchmarks.transformers import TRANSFORMERS, transformer
from audiotag.errors import ModelError
from audiotag.layers.dcls import DclsConv2d
from audiotag.layers.folding import fold
from audiotag.models.config import read_config
from audiotag.models.folder import DEFAULT_NAME
from audiotag.models.model import Model
from audiotag.models.published.names import MODELS
from audiotag.runtime.devices import select_device
from audiotag.tagging.locate import model_folder
from audiotag.training.losses import label_loss
from audiotag.training.optim.optim import build_optimizer
from audiotag.training.recipe.sections import OptimRecipe
from audiotag.training.steps import learn

NUM_CLASSES = 527  # AudioSet
N_MELS, FRAME_RATE = 128, 100  # mel bands unless a model has others; frames a second
POSITIVES = 2 / NUM_CLASSES  # fraction of positive targets; AudioSet's clips have about two labels
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LEARNING_RATE = 1e-4  # so low that positions stay spread for many steps
SEED = 0


@dataclass(frozen=True)
class Setting:
    """What is measured: the work, the device, and the size of a batch.

    Attributes:
        device: "cpu" or "cuda".
        dtype: "fp32", or "bf16" for automatic mixed precision with bfloat16.
        threads: CPU threads that compute.
        batch_size: Clips at once.
        seconds: Length of a clip.
        train: A training step (forward, backward, AdamW) instead of inference.
    """

    device: str = "cpu"
    dtype: str = "fp32"
    threads: int = 1
    batch_size: int = 4
    seconds: float = 10.0
    train: bool = False

    @property
    def frames(self) -> int:
        """Frames of a clip's map."""
        return 1 + round(self.seconds * FRAME_RATE)


def settings_of(
    device: str = "auto",
    threads: int | None = None,
    dtype: str = "fp32",
    batch_sizes: Sequence[int] = (4,),
    lengths: Sequence[float] = (10.0,),
    train: bool = False,
) -> list[Setting]:
    """A setting for each batch size and length of a clip.

    Args:
        device: As for `select_device`.
        threads: CPU threads that compute; the default number if None.
        dtype: As `Setting.dtype`.
        batch_sizes: Clips at once.
        lengths: Seconds of a clip.
        train: A training step instead of inference.

    Raises:
        ModelError: As `select_device`.
    """
    where = select_device(device).type
    pairs = product(dict.fromkeys(batch_sizes), dict.fromkeys(lengths))
    return [
        Setting(where, dtype, threads or default_threads(), batch_size, seconds, train)
        for batch_size, seconds in pairs
    ]


@dataclass(frozen=True)
class ModelWork:
    """Inference or training steps of a model.

    Attributes:
        model: An architecture, a transformer, "default", a model folder or a Hub id.
        setting: What to measure.
        package: Whether DCLS is computed as in the reference implementation: by the `dcls`
            package's own layer, which builds its kernel in every forward pass, on contiguous maps.
        model_args: Other arguments of the architecture.
    """

    model: str
    setting: Setting
    package: bool = False
    model_args: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.model} (dcls package)" if self.package else self.model

    def start(self) -> Callable[[], object]:
        """Build the model; returns a function that does its work on one batch."""
        setting = self.setting
        torch.manual_seed(SEED)
        torch.set_num_threads(setting.threads)
        model = self.build()
        layout = torch.contiguous_format if self.package else torch.channels_last
        model.to(setting.device, memory_format=layout)  # type: ignore[call-overload]
        noise = torch.Generator().manual_seed(SEED)  # as building has drawn random numbers
        shape = (setting.batch_size, *map_shape(model, setting))
        maps = torch.randn(shape, generator=noise).to(setting.device)
        return (
            _training(model, maps, setting) if setting.train else _inference(model, maps, setting)
        )

    def build(self) -> nn.Module:
        """The model on the CPU, folded for inference unless the package's layers are used."""
        model = build(self.model, self.setting.frames, self.model_args)
        if self.package:
            _use_package(model)
        model.train(self.setting.train)
        return model if self.setting.train or self.package else fold(model)


def build(name: str, frames: int, model_args: dict | None = None) -> nn.Module:
    """A backbone for maps (B, 1, 128, frames), with DCLS positions spread over the kernels.

    Args:
        name: As `ModelWork.model`. A saved model keeps its weights and positions.
        frames: Length of the maps; only transformers depend on it.
        model_args: Other arguments of the architecture.

    Raises:
        ModelError: If there is no such model.
    """
    arguments = model_args or {}
    if name in TRANSFORMERS:
        return transformer(name, NUM_CLASSES, frames, **arguments)
    if _is_saved(name):
        return Model.load(model_folder(name)).backbone
    if not timm.is_model(name):
        known = [*architectures(), *TRANSFORMERS]
        near = difflib.get_close_matches(name, known, 3) or known
        raise ModelError(f"no model to measure is called {name!r}; choose {' or '.join(near)}")
    model = timm.create_model(name, in_chans=1, num_classes=NUM_CLASSES, **arguments)
    spread_positions(model)
    return model


def map_shape(model: nn.Module, setting: Setting) -> tuple[int, int, int]:
    """Shape (1, mels, frames) of the map of a clip that a model takes."""
    channels, mels, _ = getattr(model, "pretrained_cfg", {}).get("input_size", (1, N_MELS, 0))
    return 1, mels if channels == 1 else N_MELS, setting.frames


def spread_positions(model: nn.Module) -> None:
    """Move every DCLS element to a random position, uniform over its kernel."""
    for module in model.modules():
        if isinstance(module, DclsConv2d):
            with torch.no_grad():
                for positions, side in zip(module.P, module.dilated_kernel_size[::-1], strict=True):
                    positions.uniform_(-(side // 2), side // 2)


def baseline_of(model: str) -> str | None:
    """The architecture with dense 7x7 kernels to compare a DCLS one with, if there is one."""
    name = read_config(model_folder(model)).architecture if _is_saved(model) else model
    plain = name.replace("_dcls_audio_", "_audio_")
    # A number at the end is the kernel size: convnext_dcls_audio_tiny17.
    known = [x for x in (plain, plain.rstrip("0123456789")) if x in architectures()]
    return known[0] if known and plain != name else None


def kernel_of(model: nn.Module) -> str:
    """The operation that mixes neighbouring cells in a model, in words: "DCLS 23x23"."""
    for module in model.modules():
        if isinstance(module, DclsConv2d):
            rows, columns = module.dilated_kernel_size
            return f"DCLS {rows}x{columns}"
    depthwise = [
        conv.kernel_size
        for conv in model.modules()
        if isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels > 1
    ]
    return "x".join(map(str, max(depthwise))) if depthwise else "attention"


def autocast(setting: Setting) -> AbstractContextManager:
    """The precision of a setting."""
    return torch.autocast(setting.device, torch.bfloat16, enabled=setting.dtype == "bf16")


def _is_saved(name: str) -> bool:
    """Whether a name is of a model with weights; where it is that of an architecture too, random
    ones take as long, and need no download."""
    is_published = name in MODELS and not timm.is_model(name)
    return name == DEFAULT_NAME or is_published or "/" in name or Path(name).is_dir()


def _use_package(model: nn.Module) -> None:
    """Make DCLS layers compute as the `dcls` package's class, which they inherit from."""
    for module in model.modules():
        if isinstance(module, DclsConv2d):
            module.forward = MethodType(Dcls2d.forward, module)  # type: ignore[method-assign]


def _inference(model: nn.Module, maps: Tensor, setting: Setting) -> Callable[[], object]:
    def infer() -> Tensor:
        with torch.inference_mode(), autocast(setting):
            return model(maps)

    return infer


def _training(model: nn.Module, maps: Tensor, setting: Setting) -> Callable[[], object]:
    optimizer = build_optimizer(model, OptimRecipe(lr=LEARNING_RATE))
    targets = (torch.rand(len(maps), NUM_CLASSES, device=maps.device) < POSITIVES).float()

    def losses() -> Iterator[Tensor]:
        with autocast(setting):
            logits = model(maps).float()
        yield label_loss(logits, targets)

    return lambda: learn(model, optimizer, losses())
