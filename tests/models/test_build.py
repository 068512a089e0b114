"""A folded network is built without computing values that its weights replace."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from audiotag.label_set import Labels
from audiotag.layers.folding import fold
from audiotag.models import build
from audiotag.models.config import ModelConfig

SMALL = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
CASES = [
    ("convnext_dcls_audio_atto", SMALL),
    ("convformer_dcls_audio_s18", SMALL),
    ("fastvit_dcls_audio_sa24", {"layers": [1] * 4, "embed_dims": [8, 16, 32, 64]}),
    ("mn01_as", {}),
]
ARITHMETIC = {f"aten::{name}" for name in ("add", "sub", "mul", "div", "sqrt")}


class Kernels(TorchDispatchMode):
    """Notes the kernels that only set values, as PyTorch's schemas tell, or do arithmetic."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        sets = func._schema.is_mutable and torch.Tag.inplace_view not in func.tags
        if sets or func._schema.name in ARITHMETIC:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def folded(architecture, arguments):
    """A folded config and the shapes of its weights."""
    config = ModelConfig(architecture, Labels(["a", "b"]), arguments)
    state = fold(build.build_backbone(config).eval()).state_dict()
    return replace(config, folded=True), state


@pytest.mark.parametrize(("architecture", "arguments"), CASES)
def test_no_value_is_computed(architecture, arguments):
    config, state = folded(architecture, arguments)
    with Kernels() as kernels:
        backbone = build.build_folded(config, state)
    few = {name: kernels.names.count(name) for name in kernels.names}
    assert not few, few
    shapes = {key: x.shape for key, x in backbone.state_dict().items()}
    assert shapes == {key: x.shape for key, x in state.items()}


def test_they_would_be_computed_otherwise(monkeypatch):
    config, state = folded(*CASES[0])
    monkeypatch.setattr(build, "_NoInitialisation", torch.no_grad)
    with Kernels() as kernels:
        build.build_folded(config, state)
    assert len(kernels.names) > 50
