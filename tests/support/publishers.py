"""Published models' files, small ones of their layouts, at the addresses of their publishers."""

import io

import torch
from torch import Tensor

from tests.support.mirror import LoopbackMirror

RECORD = "8370979"
RELEASE = ("fschmid56/EfficientAT", "v0.0.1")
# By name: where its file lies, written down from the publishers' own pages.
ON_HUB = {
    "ced-tiny": "mispeech/ced-tiny",
    "ced-mini": "mispeech/ced-mini",
    "ced-small": "mispeech/ced-small",
    "ced-base": "mispeech/ced-base",
    "convnext_tiny_at": "topel/ConvNeXt-Tiny-AT",
}
ON_ZENODO = {
    name: f"{name}.pth"
    for name in (
        "convnext_dcls_audio_tiny",
        "convformer_audio_s18",
        "convformer_dcls_audio_s18",
        "fastvit_dcls_audio_sa24",
    )
}
ON_GITHUB = {
    "mn01_as": "mn01_as_mAP_298.pt",
    "mn02_as": "mn02_as_mAP_378.pt",
    "mn04_as": "mn04_as_mAP_432.pt",
    "mn05_as": "mn05_as_mAP_443.pt",
    "mn10_as": "mn10_as_mAP_471.pt",
    "mn20_as": "mn20_as_mAP_478.pt",
    "mn30_as": "mn30_as_mAP_482.pt",
    "mn40_as": "mn40_as_mAP_484.pt",
    "mn40_as_ext": "mn40_as_ext_mAP_487.pt",
    "mn10_as_hop_5": "mn10_as_hop_5_mAP_475.pt",
    "mn10_as_hop_15": "mn10_as_hop_15_mAP_463.pt",
    "mn10_as_hop_20": "mn10_as_hop_20_mAP_456.pt",
    "mn10_as_hop_25": "mn10_as_hop_25_mAP_447.pt",
    "mn10_as_mels_40": "mn10_as_mels_40_mAP_453.pt",
    "mn10_as_mels_64": "mn10_as_mels_64_mAP_461.pt",
    "mn10_as_mels_256": "mn10_as_mels_256_mAP_474.pt",
}


def to_pt(content: object) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def to_safetensors(state: dict[str, Tensor]) -> bytes:
    """A model.safetensors."""
    from safetensors.torch import save

    return save({key: x.detach().contiguous() for key, x in state.items()})


def small_mn() -> bytes:
    """EfficientAT's smallest file, with random numbers."""
    import timm

    import audiotag.backbones  # noqa: F401  its models are timm's then
    from tests.support.published_models import efficientat

    torch.manual_seed(0)
    return to_pt(efficientat(timm.create_model("mn01_as")))


def narrow_ced() -> dict[str, Tensor]:
    """The tensors of a narrow CED, which is small and read by its shapes alone."""
    import timm

    import audiotag.backbones  # noqa: F401  its models are timm's then
    from tests.support.published_models import ced

    torch.manual_seed(0)
    return ced(timm.create_model("ced_tiny", embed_dim=64, num_heads=1))


def publish(mirror: LoopbackMirror, name: str, content: bytes) -> None:
    """Put a file where the publisher of a name has it."""
    if name in ON_HUB:
        config = b'{"model_type": "ced", "architectures": ["CedForAudioClassification"]}'
        files = {"model.safetensors": content, "config.json": config, "modeling_ced.py": b"1 / 0"}
        mirror.add(ON_HUB[name], files)
    elif name in ON_ZENODO:
        mirror.records.setdefault(RECORD, {})[ON_ZENODO[name]] = content
    else:
        mirror.releases.setdefault(RELEASE, {})[ON_GITHUB[name]] = content
