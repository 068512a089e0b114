"""Fast depthwise convolution with large kernels, and its gradients.

In: maps (B, C, H, W) and kernels (C, 1, kh, kw), both sides odd. Out: maps of the same shape.

`depthwise` chooses: functions in C on a CPU (`native`), Triton on a GPU (`triton_depthwise`), or
plain PyTorch (`spectral`, `pairwise`). `triton_construct` builds DCLS kernels on a GPU.
"""
