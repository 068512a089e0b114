"""Backbones, registered in timm under the names of the DCLS audio paper (arXiv 2309.13972)."""

from audiotag.backbones import convnext, convnext_at, fastvit, metaformer, mobilenet, yamnet

MODULES = (convnext, convnext_at, metaformer, fastvit, mobilenet, yamnet)


def architectures() -> list[str]:
    """Names that `timm.create_model` builds for audio, in alphabetical order."""
    return sorted(name for module in MODULES for name in module.ARCHITECTURES)
