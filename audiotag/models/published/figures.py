"""What authors published of their models: mAP on AudioSet, and where it stands."""

PAPER, EFFICIENTAT, TOPEL = "arXiv 2309.13972", "arXiv 2211.04772", "arXiv 2306.00830"
CED = "arXiv 2308.11957"
MODEL_GARDEN = "TensorFlow's model garden"
# AudioSet evaluation mAP in %, as published with the model, and where. Each was measured on its
# authors' copy of the evaluation clips.
PUBLISHED: dict[str, tuple[float, str]] = {
    "ced_tiny": (48.1, CED),
    "ced_mini": (49.0, CED),
    "ced_small": (49.6, CED),
    "ced_base": (50.0, CED),
    "convnext_audio_tiny": (44.83, PAPER),
    "convnext_dcls_audio_tiny": (45.52, PAPER),
    "convformer_audio_s18": (43.14, PAPER),
    "convformer_dcls_audio_s18": (43.68, PAPER),
    "fastvit_audio_sa24": (43.82, PAPER),
    "fastvit_dcls_audio_sa24": (44.4, PAPER),
    "convnext_tiny_at": (47.1, TOPEL),
    "mn01_as": (29.8, EFFICIENTAT),
    "mn02_as": (37.8, EFFICIENTAT),
    "mn04_as": (43.2, EFFICIENTAT),
    "mn05_as": (44.3, EFFICIENTAT),
    "mn10_as": (47.1, EFFICIENTAT),
    "mn20_as": (47.8, EFFICIENTAT),
    "mn30_as": (48.2, EFFICIENTAT),
    "mn40_as": (48.4, EFFICIENTAT),
    "yamnet": (30.6, MODEL_GARDEN),
}
