"""Starting from vision weights: the tensors of a published image model that fit a backbone.

A spectrogram is not a photograph, yet filters learned on ImageNet shorten training on AudioSet. The
stem is adapted: its kernels are summed over the colour channels, which would all see the same map,
and resized to the new kernel size with the same sum. The classifier is never loaded.
"""

import logging
from collections.abc import Mapping

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.errors import ModelError

UNREACHABLE = (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.TransportError)
SHOWN = 4  # modules named in a message
VISION = {  # the image model that each architecture is the audio form of
    **{
        f"convnext_{method}_{size}": f"convnext_{size}.{weights}"
        for method in ("audio", "dcls_audio")
        for size, weights in {
            "atto": "d2_in1k",
            "femto": "d1_in1k",
            "pico": "d1_in1k",
            "tiny": "fb_in1k",
        }.items()
    },
    "convnext_dcls_audio_tiny17": "convnext_tiny.fb_in1k",
    "convnext_tiny_at": "convnext_tiny.fb_in1k",
    "convformer_audio_s18": "convformer_s18.sail_in1k",
    "convformer_dcls_audio_s18": "convformer_s18.sail_in1k",
    "fastvit_audio_sa24": "fastvit_sa24.apple_in1k",
    "fastvit_dcls_audio_sa24": "fastvit_sa24.apple_in1k",
}
# Of architectures whose layers stand elsewhere: what image models call them, and what these do.
MOVED = {"convnext_tiny_at": {"stem.0.": "stem.1.", "stem.1.": "stem.2."}}  # after a batch norm
logger = logging.getLogger(__name__)


def load_vision_weights(backbone: nn.Module, architecture: str) -> list[str]:
    """Load, in place, the weights of the image model that an architecture is based on.

    Args:
        backbone: Fresh from `timm.create_model(architecture)`.
        architecture: Its name. `VISION` names the image model of each of this package's
            architectures; others are timm's, and have weights under their own name.

    Returns:
        Names of the tensors of `backbone` that were not loaded, the classifier's among them; a
        warning names their modules.

    Raises:
        ModelError: If there are no weights for it, or they cannot be downloaded.
    """
    source = VISION.get(architecture, architecture)
    published = _moved(_download(source), MOVED.get(architecture, {}))
    own = backbone.state_dict()
    classifier = f"{backbone.default_cfg['classifier']}."  # type: ignore[index, union-attr]
    fitting = {
        key: fitted
        for key, tensor in published.items()
        if key in own and not key.startswith(classifier)
        if (fitted := fit(tensor, own[key].shape)) is not None
    }
    backbone.load_state_dict(fitting, strict=False)
    kept = [key for key in own if key not in fitting]
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in kept))
    more = f" and {len(modules) - SHOWN} more" if len(modules) > SHOWN else ""
    logger.warning(
        "%s starts from %s, %d of its %d tensors; not loaded: %s%s",
        *(architecture, source, len(fitting), len(own), ", ".join(modules[:SHOWN]), more),
    )
    return kept


def fit(tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """A published tensor, adapted to another shape; None if it cannot be.

    A convolution of an image (O, 3, H, W) fits one input channel and any kernel size. A linear
    layer (O, I) fits a 1x1 convolution, and the other way round.
    """
    if tensor.shape == shape:
        return tensor
    if tensor.numel() == shape.numel() and tensor.squeeze().shape == torch.Size(
        side for side in shape if side > 1
    ):
        return tensor.reshape(shape)
    is_stem = tensor.ndim == len(shape) == 4 and tensor.shape[1] == 3 and shape[1] == 1
    if not is_stem or tensor.shape[0] != shape[0]:
        return None
    grey = tensor.sum(1, keepdim=True)
    size = (shape[2], shape[3])
    scale = grey[0, 0].numel() / (size[0] * size[1])
    return F.interpolate(grey, size=size, mode="bilinear", antialias=True) * scale


def _moved(state: dict[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors under other names, whose beginnings are given."""
    found = {}
    for key, tensor in state.items():
        start = next((x for x in names if key.startswith(x)), "")
        found[f"{names.get(start, '')}{key.removeprefix(start)}"] = tensor
    return found


def _download(source: str) -> dict[str, Tensor]:
    known = timm.get_pretrained_cfg(source)
    if known is None or not known.has_weights:
        raise ModelError(f"{source} has no pretrained weights; leave out model.pretrained")
    try:
        return timm.create_model(source, pretrained=True).state_dict()
    except UNREACHABLE as error:
        raise ModelError(
            f"the weights of {source} cannot be downloaded ({type(error).__name__}); check the "
            "network, or leave out model.pretrained"
        ) from error
