"""The number format in which a model's matrix products are computed."""

import torch

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
SCALED = "fp16"  # its gradients vanish unless the loss is scaled up


def autocast(device: str, precision: str) -> torch.autocast:
    """The context in which a model computes with a precision on a type of device."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
