"""Swapping convolutions of timm's models, against the models themselves and the dcls package."""

import copy

import pytest
import timm
import torch
from DCLS.construct.modules import Dcls2d
from timm.layers import Conv2dSame
from torch import nn

import audiotag.backbones  # noqa: F401 registers the architectures
from audiotag.errors import ModelError
from audiotag.layers.dcls import DclsConv2d
from audiotag.layers.swap import swap_convs

NARROW = {"channels": (8, 16, 32, 64), "stem_width": 8}
MODELS = {"resnet18": (False, NARROW), "efficientnet_b0": (True, {})}  # depthwise, arguments
MAPS = (2, 1, 64, 96)
SIZE = 9  # of the kernels put in


@pytest.fixture(scope="module", params=MODELS)
def original(request):
    """A timm model whose batch norms do something, and whether to swap its depthwise convs."""
    torch.manual_seed(0)
    depthwise, arguments = MODELS[request.param]
    model = timm.create_model(request.param, in_chans=1, num_classes=20, **arguments)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = 1.0  # the running statistics become those of one batch
    with torch.no_grad():
        model.train()(torch.randn(8, *MAPS[1:]))
    return model.eval(), depthwise


@pytest.mark.slow
@pytest.mark.parametrize("version", ["gauss", "v1", "max"])
def test_a_dense_start_computes_what_the_model_did(original, version):
    model, depthwise = original
    swapped = copy.deepcopy(model)
    torch.manual_seed(1)
    maps = torch.randn(MAPS)
    swap_convs(swapped, depthwise=depthwise, kernel_size=SIZE, version=version, init="dense")
    with torch.inference_mode():
        expected, logits = model(maps), swapped(maps)
    assert (logits - expected).abs().max() < 1e-3 * expected.std()


def test_names_outputs_and_sharing(original):
    model, depthwise = original
    wanted = [
        name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1 and (m.groups > 1 or not depthwise)
    ]
    swapped = copy.deepcopy(model)
    assert swap_convs(swapped, depthwise=depthwise, kernel_size=SIZE) == wanted
    assert _conv_shapes(swapped) == _conv_shapes(model)
    convs = [swapped.get_submodule(name) for name in wanted]
    shares = [b.P is a.P and b.SIG is a.SIG for a, b in zip(convs, convs[1:], strict=False)]
    assert shares == [
        (a.in_channels, a.out_channels) == (b.in_channels, b.out_channels)
        for a, b in zip(convs, convs[1:], strict=False)
    ]
    assert any(shares) and not all(shares)


def _conv_shapes(model: nn.Module) -> list[torch.Size]:
    shapes: list[torch.Size] = []
    kinds = (nn.Conv2d, DclsConv2d)
    for conv in (m for m in model.modules() if isinstance(m, kinds)):
        conv.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
    with torch.inference_mode():
        model(torch.randn(1, 1, 61, 97))
    for conv in (m for m in model.modules() if isinstance(m, kinds)):
        conv._forward_hooks.clear()
    return shapes


def _convs() -> nn.Sequential:
    """A depthwise, a strided, and a grouped convolution of growing kernels."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8, bias=False),
        nn.Conv2d(8, 12, 7, stride=(1, 2), padding=3, groups=4),
    )


@pytest.mark.parametrize("init", ["random", "dense"])
@pytest.mark.parametrize("version", ["gauss", "v1", "max"])
def test_swapped_convolutions_equal_the_package(version, init):
    model = _convs()
    originals = copy.deepcopy(model)
    swap_convs(model, depthwise=False, kernel_size=11, version=version, init=init)
    for conv, original in zip(model, originals, strict=True):
        theirs = Dcls2d(
            original.in_channels,
            original.out_channels,
            conv.weight.shape[-1],
            stride=original.stride,
            padding=5,
            dilated_kernel_size=11,
            groups=original.groups,
            bias=original.bias is not None,
            version=version,
        )
        theirs.load_state_dict(conv.state_dict())
        x = torch.randn(2, 8, 13, 14)
        torch.testing.assert_close(conv(x), theirs(x), rtol=0, atol=1e-5)
        assert conv(x).shape == original(x).shape
        if init == "dense":
            torch.testing.assert_close(conv(x), original(x), rtol=0, atol=1e-4)


def test_a_random_start_is_the_papers():
    model = nn.Sequential(nn.Conv2d(64, 64, 7, padding=3, groups=64))
    swap_convs(model)
    conv = model[0]
    assert conv.weight.shape == (64, 1, 26) and conv.dilated_kernel_size == (23, 23)
    assert conv.weight.std().item() == pytest.approx(0.02, rel=0.1) and not conv.bias.any()
    assert conv.P.std().item() == pytest.approx(0.5, rel=0.1) and (conv.SIG == 0.23).all()


@pytest.mark.parametrize("version", ["gauss", "v1", "max"])
def test_every_element_of_a_dense_start_can_move_both_ways_and_widen(version):
    model = _convs()
    swap_convs(model, depthwise=False, kernel_size=11, version=version, init="dense")
    model(torch.randn(2, 8, 33, 34)).square().sum().backward()
    for conv in model:
        assert (conv.P.grad != 0).all()
        assert conv.SIG is None or (conv.SIG.grad != 0).all()


def test_elements_of_a_dense_start_are_near_the_grid():
    model = _convs()
    swap_convs(model, depthwise=False, kernel_size=11, init="dense")
    columns, rows = model[1].P.detach()
    assert (columns.round() == torch.arange(-2.0, 3).repeat(5)).all()
    assert (rows.round() == torch.arange(-2.0, 3).repeat_interleave(5)).all()
    assert (model[1].SIG <= 1e-3).all()


def test_only_the_wanted_kernels_are_swapped():
    assert swap_convs(_convs(), match_kernel=5) == ["1"]
    assert swap_convs(_convs()) == ["0", "1"]
    assert swap_convs(_convs(), depthwise=False, match_kernel=7) == ["2"]


def test_sharing_can_be_turned_off():
    together, apart = _convs(), _convs()
    swap_convs(together)
    swap_convs(apart, share=False)
    assert together[0].P is together[1].P and together[0].SIG is together[1].SIG
    assert apart[0].P is not apart[1].P and apart[0].SIG is not apart[1].SIG


def test_double_precision_is_kept():
    model = _convs().double()
    swap_convs(model, init="dense")
    assert {p.dtype for p in model.parameters()} == {torch.float64}


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 4, padding=2),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, (3, 5), padding=(1, 2)),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        Conv2dSame(4, 4, 3, stride=2, padding=1),
    ],
)
def test_convolutions_that_dcls_cannot_stand_for_are_left(conv):
    with pytest.raises(ModelError, match="none at all"):
        swap_convs(nn.Sequential(conv), depthwise=False)


def test_nothing_to_swap_names_the_kernels_there_are():
    with pytest.raises(ModelError, match="dense 7x7, depthwise 3x3, depthwise 5x5") as error:
        swap_convs(_convs(), match_kernel=9)
    assert "no depthwise convolution of kernel 9x9" in str(error.value)


def test_model_with_dcls_already_says_how_to_change_it():
    model = timm.create_model("convnext_dcls_audio_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    with pytest.raises(ModelError, match="has DCLS convolutions already: set model.args"):
        swap_convs(model, kernel_count=16)
    changed = timm.create_model(
        "convnext_dcls_audio_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), kernel_count=16
    )
    assert changed.stages[0].blocks[0].conv_dw.weight.shape == (8, 1, 16)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"version": "cubic"}, "gauss, v1, max"),
        ({"init": "sparse"}, "random, dense"),
        ({"kernel_size": 22}, "odd, got 22"),
        ({"kernel_count": 0}, "positive, got 0"),
        ({"init": "dense", "kernel_count": 26}, "0 has 9 weights a kernel; leave kernel_count out"),
        ({"init": "dense", "kernel_size": 3, "match_kernel": 5}, "make it 5 or more"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        swap_convs(_convs(), **arguments)
