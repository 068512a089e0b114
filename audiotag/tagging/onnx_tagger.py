"""The tagger without torch: what `load_tagger` gives on the core install."""

from typing import Any

from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.tags_audio import TagsAudio


class OnnxTagger(TagsAudio, OnnxModel):
    """A tagger without torch: it tags and embeds, but has no layers to look into or to change."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a tagger without PyTorch has no {name}; pip install 'audiotag-dcls[train]'", name=name
        )
