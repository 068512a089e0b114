"""What number format a model's matrix products are computed in."""

import torch

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
SCALED = "fp16"  # whose gradients vanish unless the loss is scaled up


def autocast(device: str, precision: str) -> torch.autocast:
    """The context in which a model computes, on a kind of device."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
