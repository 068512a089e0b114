"""The front ends of the models: from samples to log-mel maps.

In: waveforms (B, T). Out: maps (B, 1, n_mels, frames).

- `log_mel`, `efficientat`, `yamnet`: the front ends in torch. `front_ends` builds one by its name.
- `numpy_front_ends`: the same in NumPy, for onnxruntime without torch.
- `onnx_front_ends`: the same as layers of an ONNX file, on the spectrum of `matmul_stft`.
- `mel_bank`: window and mel bands as arrays. `mel_power`: power in mel bands, computed in C; `mel`
  uses it from torch.
"""
