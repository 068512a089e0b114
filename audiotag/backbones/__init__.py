"""Backbones, registered in timm under the names of the DCLS audio paper (arXiv 2309.13972).

In: log-mel maps (B, 1, mels, frames). Out: logits (B, classes).

- `convnext`, `convnext_at`, `fastvit`, `metaformer`, `mobilenet`, `yamnet`: one family each, with
  its names in `ARCHITECTURES`. Families share `stem` and `registry`.
- `image_weights`: loads the weights of published image models.
- `complexity`: counts parameters and operations.
"""

from audiotag.backbones import ced, convnext, convnext_at, fastvit, metaformer, mobilenet, yamnet

MODULES = (ced, convnext, convnext_at, metaformer, fastvit, mobilenet, yamnet)


def architectures() -> list[str]:
    """Names that `timm.create_model` builds for audio, in alphabetical order."""
    return sorted(name for module in MODULES for name in module.ARCHITECTURES)
