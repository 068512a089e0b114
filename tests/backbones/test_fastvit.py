"""FastViT: lengths, the classifier, and DCLS arguments."""

import pytest
import timm
import torch

from audiotag.backbones import fastvit
from audiotag.layers.dcls import DclsConv2d

SMALL = {"layers": (1, 2, 1, 1), "embed_dims": (8, 16, 32, 32), "num_classes": 5}


@pytest.mark.parametrize("name", fastvit.ARCHITECTURES)
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
