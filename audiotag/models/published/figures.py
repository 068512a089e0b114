"""The mAP on AudioSet that authors published for their models, and the source."""

from audiotag.architectures import ARCHITECTURES
from audiotag.models.published.names import DCLS, MODELS, architecture_of

MODEL_GARDEN = "TensorFlow's model garden"
# mAP in % on AudioSet's evaluation clips, and where it was published. Each was measured on the
# authors' own copy of the clips, so they are not all of the same clips.
PUBLISHED: dict[str, tuple[float, str]] = {
    **{
        architecture: (model.score, model.paper)
        for name, model in MODELS.items()
        if (architecture := architecture_of(name)) in ARCHITECTURES
    },
    "convnext_audio_tiny": (44.83, DCLS),
    "fastvit_audio_sa24": (43.82, DCLS),
    "yamnet": (30.6, MODEL_GARDEN),
}
