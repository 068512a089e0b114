"""The names of the audio backbones, without importing torch, which takes seconds.

`audiotag.backbones` registers them in timm; importing it needs torch and timm.
"""

ARCHITECTURES = (  # in alphabetical order
    "ced_base",
    "ced_mini",
    "ced_small",
    "ced_tiny",
    "convformer_audio_s18",
    "convformer_dcls_audio_s18",
    "convnext_audio_atto",
    "convnext_audio_femto",
    "convnext_audio_pico",
    "convnext_audio_tiny",
    "convnext_dcls_audio_atto",
    "convnext_dcls_audio_femto",
    "convnext_dcls_audio_pico",
    "convnext_dcls_audio_tiny",
    "convnext_dcls_audio_tiny17",
    "convnext_tiny_at",
    "fastvit_audio_sa24",
    "fastvit_dcls_audio_sa24",
    "mn01_as",
    "mn02_as",
    "mn04_as",
    "mn05_as",
    "mn06_as",
    "mn08_as",
    "mn10_as",
    "mn20_as",
    "mn30_as",
    "mn40_as",
    "mn_as",
    "yamnet",
)
