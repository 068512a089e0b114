"""ConvNeXt against the reference implementation's parameter counts and stored logits."""

import copy

import pytest
import reference_models
import timm
import torch
from timm.models.convnext import checkpoint_filter_fn

import audiotag.backbones
from audiotag.dcls import DclsConv2d, fold_dcls

PARAMETERS = {"convnext_audio_tiny": 28_223_855, "convnext_dcls_audio_tiny": 28_221_263}


@pytest.fixture(scope="module", params=PARAMETERS)
def reference(request):
    """A model with the reference's deterministic weights, its name, input and expected logits."""
    model = timm.create_model(request.param, num_classes=527).eval()
    state = reference_models.state_dict(request.param)
    model.load_state_dict(checkpoint_filter_fn(state, model))
    return request.param, model, reference_models.maps(), reference_models.logits(request.param)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count_is_the_references(name):
    model = timm.create_model(name, num_classes=527)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_logits_are_the_references(reference):
    _, model, maps, expected = reference
    with torch.inference_mode():
        logits = model(maps)
    assert (logits - expected).abs().max() < 1e-4


def test_folded_logits_are_the_references(reference):
    _, model, maps, expected = reference
    folded = fold_dcls(copy.deepcopy(model)).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        logits = folded(maps)
    assert (logits - expected).abs().max() < 1e-4


def test_stages_share_positions():
    model = timm.create_model("convnext_dcls_audio_atto", num_classes=5)
    for stage in model.stages:
        first, *others = [m for m in stage.modules() if isinstance(m, DclsConv2d)]
        assert others and all(m.P is first.P and m.SIG is first.SIG for m in others)
    positions = {id(m.P) for m in model.modules() if isinstance(m, DclsConv2d)}
    assert len(positions) == 4


def test_dcls_arguments_reach_the_convolutions():
    arguments = {"kernel_size": 17, "kernel_count": 5, "version": "v1"}
    model = timm.create_model("convnext_dcls_audio_atto", num_classes=5, dcls=arguments)
    conv = model.stages[2].blocks[0].conv_dw
    assert conv.dilated_kernel_size == (17, 17)
    assert conv.weight.shape[-1] == 5 and conv.SIG is None
    assert model(torch.zeros(1, 1, 128, 301)).shape == (1, 5)


def test_every_architecture_is_listed_and_takes_any_number_of_classes():
    names = audiotag.backbones.architectures()
    assert {"convnext_dcls_audio_atto", "convnext_dcls_audio_femto", "mn04_as"} <= set(names)
    model = timm.create_model("convnext_dcls_audio_femto", num_classes=3, in_chans=1)
    assert model(torch.zeros(1, 1, 128, 201)).shape == (1, 3)
    assert set(names) <= set(timm.list_models())
