"""DCLS (dilated convolution with learnable spacings, arXiv 2309.13972) and the layers around it.

In: maps (B, C, H, W), or a whole network. Out: maps, or the network with its layers replaced in
place.

- `dcls`: the DCLS convolution. `swap` replaces a network's convolutions by it.
- `folding`, `fusion`: a trained network becomes a faster one that computes the same.
- `depthwise`, `onednn`: plain layers for inference. `kernels`: the fast depthwise convolution.
- `elements`, `plot`: what the DCLS convolutions of a model have learnt.
"""
