"""The paper's six models against its implementation's parameter counts and stored logits."""

import copy

import pytest
import timm
import torch
from timm.models.fastvit import RepMixer
from torch import nn

from audiotag.backbones import convnext, fastvit, metaformer
from audiotag.layers.dcls import DclsConv2d
from audiotag.layers.folding import fold
from tests.support import reference_models

PARAMETERS = {
    "convnext_audio_tiny": (convnext, 28_223_855),
    "convnext_dcls_audio_tiny": (convnext, 28_221_263),
    "convformer_audio_s18": (metaformer, 25_797_847),
    "convformer_dcls_audio_s18": (metaformer, 25_781_207),
    "fastvit_audio_sa24": (fastvit, 21_064_015),
    "fastvit_dcls_audio_sa24": (fastvit, 21_016_655),
}


@pytest.fixture(scope="module", params=PARAMETERS)
def reference(request):
    """A model's name, and the model with the reference's deterministic weights."""
    model = timm.create_model(request.param).eval()
    module, _ = PARAMETERS[request.param]
    state = reference_models.state_dict(request.param)
    model.load_state_dict(module.from_reference(state, model))
    return request.param, model


def test_parameter_count_is_the_references(reference):
    name, model = reference
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name][1]


def test_logits_are_the_references(reference):
    name, model = reference
    assert reference_models.difference(model, name) < reference_models.bar(name)


def test_folded_logits_are_the_references(reference):
    name, model = reference
    folded = fold(copy.deepcopy(model)).to(memory_format=torch.channels_last)
    assert not any(isinstance(m, DclsConv2d) for m in folded.modules())
    for mixer in (m for m in folded.modules() if isinstance(m, RepMixer)):
        assert [type(m) for m in mixer.children()] == [nn.Conv2d]
    assert reference_models.difference(folded, name) < reference_models.bar(name)
