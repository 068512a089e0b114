"""FastViT against the reference implementation's parameter counts and stored logits."""

import copy

import pytest
import reference_models
import timm
import torch
from timm.models.fastvit import RepMixer
from torch import nn

from audiotag.backbones import fastvit
from audiotag.dcls import DclsConv2d
from audiotag.folding import fold

PARAMETERS = {"fastvit_audio_sa24": 21_064_015, "fastvit_dcls_audio_sa24": 21_016_655}
SMALL = {"layers": (1, 2, 1, 1), "embed_dims": (8, 16, 32, 32), "num_classes": 5}


@pytest.fixture(scope="module", params=PARAMETERS)
def reference(request):
    """A model's name, and the model with the reference's deterministic weights."""
    model = timm.create_model(request.param).eval()
    state = reference_models.state_dict(request.param)
    model.load_state_dict(fastvit.from_reference(state, model))
    return request.param, model


def test_parameter_count_is_the_references(reference):
    name, model = reference
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_logits_are_the_references(reference):
    name, model = reference
    assert reference_models.difference(model, name) < reference_models.bar(name)


def test_merged_logits_are_the_references(reference):
    name, model = reference
    folded = fold(copy.deepcopy(model)).to(memory_format=torch.channels_last)
    assert not any(isinstance(m, DclsConv2d) for m in folded.modules())
    for mixer in (m for m in folded.modules() if isinstance(m, RepMixer)):
        assert [type(m) for m in mixer.children()] == [nn.Conv2d]
    assert reference_models.difference(folded, name) < reference_models.bar(name)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("frames", [201, 1001, 1777])
def test_maps_of_any_length_are_taken(name, frames):
    model = timm.create_model(name, **SMALL).eval()
    maps = torch.randn(2, 1, 128, frames)
    with torch.inference_mode():
        features = model.forward_features(maps)
        embedding = model.forward_head(features, pre_logits=True)
        assert embedding.shape == (2, model.num_features) == (2, 64)
        torch.testing.assert_close(model.get_classifier()(embedding), model(maps))


def test_the_classifier_can_be_replaced():
    model = timm.create_model("fastvit_audio_sa24", **SMALL).eval()
    model.reset_classifier(7)
    assert model.num_classes == 7 and model(torch.zeros(1, 1, 128, 201)).shape == (1, 7)
    model.reset_classifier(0)
    assert model(torch.zeros(1, 1, 128, 201)).shape == (1, 64)


def test_dcls_is_in_the_feed_forward_blocks_and_the_position_encoding_only():
    model = timm.create_model("fastvit_dcls_audio_sa24", **SMALL)
    names = [name for name, m in model.named_modules() if isinstance(m, DclsConv2d)]
    assert names == [
        "stages.0.blocks.0.mlp.conv.conv",
        "stages.1.blocks.0.mlp.conv.conv",
        "stages.1.blocks.1.mlp.conv.conv",
        "stages.2.blocks.0.mlp.conv.conv",
        "stages.3.pos_emb.pos_enc",
        "stages.3.blocks.0.mlp.conv.conv",
    ]
    encoding = model.get_submodule(names[-2])
    assert encoding.P is model.get_submodule(names[-1]).P and encoding.bias is not None
    assert encoding.P is not model.get_submodule(names[-3]).P


def test_dcls_arguments_reach_the_convolutions():
    arguments = {"kernel_size": 11, "kernel_count": 4, "version": "v1"}
    model = timm.create_model("fastvit_dcls_audio_sa24", **SMALL, **arguments)
    for conv in (m for m in model.modules() if isinstance(m, DclsConv2d)):
        assert conv.version == "v1" and conv.dilated_kernel_size == (11, 11)
        assert conv.weight.shape[-1] == 4
