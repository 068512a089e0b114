"""ConvFormer: lengths, the classifier, and DCLS arguments."""

import pytest
import timm
import torch

from audiotag.backbones import metaformer
from audiotag.layers.dcls import DclsConv2d

SMALL = {"depths": (1, 2, 1, 1), "dims": (8, 12, 16, 24), "num_classes": 5}


@pytest.mark.parametrize("name", metaformer.ARCHITECTURES)
@pytest.mark.parametrize("frames", [201, 1001, 1777])
def test_maps_of_any_length_are_taken(name, frames):
    model = timm.create_model(name, **SMALL).eval()
    maps = torch.randn(2, 1, 128, frames)
    with torch.inference_mode():
        features = model.forward_features(maps)
        embedding = model.forward_head(features, pre_logits=True)
        assert embedding.shape == (2, model.num_features) == (2, 24)
        torch.testing.assert_close(model.get_classifier()(embedding), model(maps))


def test_the_classifier_can_be_replaced():
    model = timm.create_model("convformer_audio_s18", **SMALL)
    model.reset_classifier(7)
    assert model.num_classes == 7 and model(torch.zeros(1, 1, 128, 201)).shape == (1, 7)
    # What the reference's logits are computed with; timm's is 1e-6.
    assert model.get_classifier().norm.eps == 1e-5
    model.reset_classifier(0)
    assert model(torch.zeros(1, 1, 128, 201)).shape == (1, 24)


def test_dcls_arguments_reach_the_convolutions_and_stages_share_positions():
    arguments = {"kernel_size": 11, "kernel_count": 4, "version": "max"}
    model = timm.create_model("convformer_dcls_audio_s18", **SMALL, **arguments)
    convs = [m for m in model.modules() if isinstance(m, DclsConv2d)]
    assert len(convs) == 5 and len({id(conv.P) for conv in convs}) == 4
    for conv in convs:
        assert conv.version == "max" and conv.dilated_kernel_size == (11, 11)
        assert conv.weight.shape[-1] == 4 and conv.bias is None
