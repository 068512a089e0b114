"""Backbones, registered in timm under the names of the DCLS audio paper (arXiv 2309.13972).

Log-mel maps (B, 1, mels, frames) come in, logits (B, classes) go out. A file is one family, and
lists its names in `ARCHITECTURES`; `stem` and `registry` are what families have in common.
`image_weights` loads the weights of image models, `complexity` counts parameters and operations.
"""

from audiotag.backbones import ced, convnext, convnext_at, fastvit, metaformer, mobilenet, yamnet

MODULES = (ced, convnext, convnext_at, metaformer, fastvit, mobilenet, yamnet)


def architectures() -> list[str]:
    """Names that `timm.create_model` builds for audio, in alphabetical order."""
    return sorted(name for module in MODULES for name in module.ARCHITECTURES)
