"""From samples to log-mel maps, the front ends of the models.

In: waveforms (B, T). Out: maps (B, 1, n_mels, frames). `log_mel`, `efficientat` and `yamnet` are
front ends in torch, `numpy_front_ends` are the same for onnxruntime without torch, and
`onnx_front_ends` the same as layers of an ONNX file. `front_ends` finds them by name; `mel_bank`
holds their window and bands.
"""
