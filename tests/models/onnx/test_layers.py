"""Layers in the form that ONNX runtimes compute fast, against those they come from."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from audiotag.backbones.mobilenet import ANY_WIDTH, AudioMobileNet
from audiotag.layers.folding import fold
from audiotag.models.onnx.layers import widen_first_block

SIZES = ((64, 96), (37, 111), (2, 3))  # mel bands and frames


def folded_net(width: float, **arguments) -> AudioMobileNet:
    """A folded MobileNetV3 in double precision whose batch norms have seen something."""
    torch.manual_seed(0)
    net = timm.create_model(ANY_WIDTH, width=width, num_classes=5, **arguments)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # takes over what it sees
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    with torch.no_grad():
        net.train()(3 * torch.randn(4, 1, 64, 96))
    return fold(net.eval()).double()


def maps_of(size: tuple[int, int]) -> Tensor:
    return 3 * torch.randn(2, 1, *size, dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.4, 0.5])
def test_a_narrow_first_block_computes_the_same_on_twice_the_channels(width):
    net = folded_net(width)
    wide = copy.deepcopy(net)
    widen_first_block(wide)
    assert wide.features[0][0].out_channels == 16 == 2 * net.features[0][0].out_channels
    assert len(list(wide.features[1].modules())) < len(list(net.features[1].modules()))
    for size in SIZES:
        maps = maps_of(size)
        with torch.no_grad():
            expected, given = net(maps), wide(maps)
            assert net.features[0](maps).min() < -0.37  # a ReLU alone would cut it off
        torch.testing.assert_close(given, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("width", [1.0, 0.6, 0.1])  # at 0.1 no product comes after the block
def test_a_first_block_that_does_not_fit_stays(width):
    net = folded_net(width)
    before = copy.deepcopy(net.state_dict())
    widen_first_block(net)
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_net_that_is_not_folded_stays():
    net = timm.create_model(ANY_WIDTH, width=0.4, num_classes=5).eval()
    before = net.state_dict().keys()
    widen_first_block(net)
    assert net.state_dict().keys() == before


def test_another_backbone_stays():
    net = fold(timm.create_model("mobilenetv3_small_050", num_classes=5).eval())
    before = net.state_dict().keys()
    widen_first_block(net)
    assert net.state_dict().keys() == before
