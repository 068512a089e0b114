"""ConvNeXt: sharing of positions, arguments, and the registry."""

import pytest
import timm
import torch

import audiotag.backbones
from audiotag.architectures import ARCHITECTURES
from audiotag.errors import ModelError
from audiotag.layers.dcls import DclsConv2d


def test_stages_share_positions():
    model = timm.create_model("convnext_dcls_audio_atto", num_classes=5)
    for stage in model.stages:
        first, *others = [m for m in stage.modules() if isinstance(m, DclsConv2d)]
        assert others and all(m.P is first.P and m.SIG is first.SIG for m in others)
    positions = {id(m.P) for m in model.modules() if isinstance(m, DclsConv2d)}
    assert len(positions) == 4


def test_stages_of_equal_width_do_not_share_positions():
    model = timm.create_model("convnext_dcls_audio_atto", dims=(8, 8, 8, 8), depths=(2, 1, 1, 1))
    assert len({id(m.P) for m in model.modules() if isinstance(m, DclsConv2d)}) == 4


@pytest.mark.parametrize("as_dict", [True, False])
def test_dcls_arguments_reach_the_convolutions(as_dict):
    arguments = {"kernel_size": 17, "kernel_count": 5, "version": "v1", "share": False}
    arguments = {"dcls": arguments} if as_dict else arguments
    model = timm.create_model("convnext_dcls_audio_atto", num_classes=5, **arguments)
    first, second, *_ = model.stages[2].blocks
    assert first.conv_dw.dilated_kernel_size == (17, 17)
    assert first.conv_dw.weight.shape[-1] == 5 and first.conv_dw.SIG is None
    assert first.conv_dw.P is not second.conv_dw.P
    assert model(torch.zeros(1, 1, 128, 301)).shape == (1, 5)


def test_impossible_dcls_arguments_are_refused():
    with pytest.raises(ModelError, match="gauss, v1, max"):
        timm.create_model("convnext_dcls_audio_atto", version="cubic")
    with pytest.raises(TypeError, match="kernel_count"):
        timm.create_model("convnext_audio_atto", kernel_count=5)


def test_tiny17_has_the_references_bilinear_kernels():
    model = timm.create_model("convnext_dcls_audio_tiny17")
    convs = [m for m in model.modules() if isinstance(m, DclsConv2d)]
    assert len(convs) == 18 and model.num_classes == 527
    for conv in convs:
        assert conv.version == "v1" and conv.dilated_kernel_size == (17, 17)
        assert conv.weight.shape[-1] == 34


def test_every_architecture_is_listed_and_takes_any_number_of_classes():
    names = audiotag.backbones.architectures()
    assert names == list(ARCHITECTURES)  # what is known without torch
    assert {"convnext_dcls_audio_atto", "convnext_dcls_audio_femto", "mn04_as"} <= set(names)
    model = timm.create_model("convnext_dcls_audio_femto", num_classes=3, in_chans=1)
    assert model(torch.zeros(1, 1, 128, 201)).shape == (1, 3)
    assert set(names) <= set(timm.list_models())
