"""The tagger without torch, which `load_tagger` returns if torch is not installed."""

from typing import Any

from audiotag.models.onnx.model import OnnxModel
from audiotag.tagging.tags_audio import TagsAudio


class OnnxTagger(TagsAudio, OnnxModel):
    """A tagger without torch: it tags and embeds, but has no layers to inspect or change."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a tagger without PyTorch has no {name}; pip install 'audiotag-dcls[train]'", name=name
        )
