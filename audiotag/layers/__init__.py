"""DCLS (dilated convolution with learnable spacings, arXiv 2309.13972) and the layers around it.

`dcls` builds kernels from learnt positions, `swap` puts DCLS into any network, `folding` and
`fusion` turn a trained network into a faster one that computes the same, `kernels` has the fast
depthwise convolutions for CPU and GPU.
"""
