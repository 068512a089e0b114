"""What authors published of their models: mAP on AudioSet, and where it stands."""

from audiotag.architectures import ARCHITECTURES
from audiotag.models.published.names import DCLS, MODELS

MODEL_GARDEN = "TensorFlow's model garden"
# AudioSet evaluation mAP in %, as published with the model, and where. Each was measured on its
# authors' copy of the evaluation clips.
PUBLISHED: dict[str, tuple[float, str]] = {
    **{
        architecture: (model.score, model.paper)
        for name, model in MODELS.items()
        if (architecture := name.replace("-", "_")) in ARCHITECTURES
    },
    "convnext_audio_tiny": (44.83, DCLS),
    "fastvit_audio_sa24": (43.82, DCLS),
    "yamnet": (30.6, MODEL_GARDEN),
}
