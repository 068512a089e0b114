"""Fast depthwise convolution with large kernels, and its gradients.

`depthwise` chooses: C with Fourier transforms on a CPU (`native`), Triton on a GPU
(`triton_depthwise`), or plain PyTorch (`spectral`, `pairwise`).
"""
