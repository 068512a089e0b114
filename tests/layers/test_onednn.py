"""Linear layers and convolutions by oneDNN: against PyTorch's in double precision, and who
computes when."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from audiotag.layers import onednn as ops
from audiotag.layers.folding import fold
from audiotag.layers.onednn import Conv2d, Linear


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(40, 160)


ACTIVATIONS = {  # by their definitions
    "none": lambda y: y,
    "relu": lambda y: y.clamp(min=0),
    "squared_relu": lambda y: y.clamp(min=0) ** 2,
    "hardswish": lambda y: y * (y + 3).clamp(0, 6) / 6,
    "gelu": lambda y: y * (1 + torch.erf(y / 2**0.5)) / 2,
}
CONVS = [  # arguments of nn.Conv2d
    (8, 24, 1),
    (8, 24, 1, 2),
    (8, 24, 1, 1, 1),
    (8, 24, 3, 2, 1),
    (8, 8, (3, 5), 1, (1, 2), 1, 8),
    (8, 16, 3, 1, 2, 2, 4),
]


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("layout", ["rows", "maps", "channels first", "one"])
def test_linear_equals_double_precision(act, with_bias, layout):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 40, 5, 7, generator=generator) * 2
    x = {
        "rows": x.permute(0, 2, 3, 1).reshape(-1, 40),
        "maps": x.to(memory_format=torch.channels_last).permute(0, 2, 3, 1),
        "channels first": x.permute(0, 2, 3, 1),
        "one": x[0, :, 0, 0],
    }[layout]
    plain = nn.Linear(40, 24, with_bias)
    made = Linear.of(plain, act)
    with torch.inference_mode():
        assert ops.is_preferred(x, made.weight)
        y = made(x)
        exact = ACTIVATIONS[act](copy.deepcopy(plain).double()(x.double()))
    assert y.shape == exact.shape and y.dtype == torch.float32
    assert (y - exact).abs().max() < 2e-6 * exact.abs().max()


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("arguments", CONVS)
@pytest.mark.parametrize("size", [(9, 11), (1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolution_equals_double_precision(act, arguments, size, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(*arguments)
    if size == (1, 1) and conv.kernel_size != (1, 1):
        conv.padding = (conv.kernel_size[0] * 2, conv.kernel_size[1] * 2)
    made = Conv2d.of(conv, act)
    x = torch.randn(3, 8, *size).to(memory_format=layout)
    sizes = conv.stride, conv.padding, conv.dilation, conv.groups
    exact = F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), *sizes)
    exact = ACTIVATIONS[act](exact)
    with torch.inference_mode():
        y = made(x)
    assert y.shape == exact.shape
    assert (y - exact).abs().max() < 2e-6 * exact.abs().max()
    torch.testing.assert_close(made(x).double(), exact, atol=1e-5, rtol=0)  # with a gradient


def test_convolutions_padded_otherwise_are_refused():
    for conv in (nn.Conv2d(8, 8, 3, padding="same"), nn.Conv2d(8, 8, 3, padding_mode="reflect")):
        with pytest.raises(ValueError, match="padded with zeros"):
            Conv2d.of(conv)


def test_gradients_are_pytorchs(layer):
    made = Linear.of(layer, "gelu")
    x = torch.randn(6, 40, requires_grad=True)
    (mine,) = torch.autograd.grad(made(x).sum(), x)
    (theirs,) = torch.autograd.grad(F.gelu(layer(x)).sum(), x)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize(
    "plain, cls",
    [
        (nn.Linear(8, 24), Linear),
        (nn.Conv2d(8, 24, 1), Conv2d),
        (nn.Conv2d(8, 24, 3, 2, 1, bias=False), Conv2d),
    ],
)
def test_bfloat16_is_rounded_as_by_pytorch(act, plain, cls):
    torch.manual_seed(0)
    made = cls.of(copy.deepcopy(plain), act)
    x = torch.randn(3, 8, 9, 8).to(memory_format=torch.channels_last)
    wide = copy.deepcopy(plain).bfloat16().double()  # weights as they are rounded
    for _ in range(2):
        with torch.inference_mode():
            with torch.autocast("cpu", torch.bfloat16):
                y = made(x)
            exact = ACTIVATIONS[act](wide(x.bfloat16().double()))
        assert y.dtype == torch.bfloat16 and y.shape == exact.shape
        assert (y - exact).abs().max() < 2**-6 * exact.abs().max()
        with torch.no_grad():  # what is kept of the weights in bfloat16 is theirs no longer
            made.weight.mul_(3)
            wide.weight.mul_(3)


@pytest.mark.parametrize("half", [False, True])
def test_what_is_added_is_added(layer, half):
    made = Linear.of(layer)
    x, plus = torch.randn(3, 5, 7, 40), torch.randn(3, 160, 5, 7).permute(0, 2, 3, 1)
    before = plus.clone()
    exact = layer.double()(x.double()) + plus.double()
    layer.float()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        with torch.inference_mode():
            y = made(x, plus)
        with_gradient = made(x, plus)
    bound = (2**-6 if half else 2e-6) * exact.abs().max()
    assert y.dtype == (torch.bfloat16 if half else torch.float32)
    assert (y - exact).abs().max() < bound and (with_gradient - exact).abs().max() < bound
    assert torch.equal(plus, before)


def test_models_in_bfloat16_compute_in_it(layer):
    x = torch.randn(2, 40, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert Linear.of(layer, "gelu").bfloat16()(x).dtype == torch.bfloat16
        with pytest.raises(RuntimeError):  # as PyTorch
            Linear.of(nn.Linear(40, 160))(x)


def test_empty_batches_and_other_types_are_left_to_pytorch(layer):
    made = Linear.of(layer, "gelu")
    with torch.inference_mode():
        assert made(torch.zeros(0, 40)).shape == (0, 160)
        x = torch.randn(2, 40, dtype=torch.float64)
        torch.testing.assert_close(made.double()(x), F.gelu(layer.double()(x)))


def test_without_onednn_the_layer_gives_the_same(layer, monkeypatch):
    made, x = Linear.of(layer, "gelu"), torch.randn(6, 40)
    with torch.inference_mode():
        by_onednn = made(x)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert not ops.is_preferred(x, made.weight)
        torch.testing.assert_close(made(x), by_onednn)


# With an exact GELU, one that is an approximation, and another activation.
@pytest.mark.parametrize(
    ("arguments", "with_gelu", "with_relu"),
    [({}, 1, 0), ({"act_layer": "gelu_tanh"}, 0, 0), ({"act_layer": "relu"}, 0, 1)],
)
def test_folded_models_use_them_and_answer_the_same(arguments, with_gelu, with_relu):
    torch.manual_seed(0)
    sizes = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32), "ls_init_value": 0.5}
    model = timm.create_model("convnext_tiny", num_classes=5, in_chans=1, **sizes, **arguments)
    maps = torch.randn(2, 1, 64, 97)
    with torch.inference_mode():
        expected = model.eval()(maps)
        logits = fold(model)(maps)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert all(type(module) is Linear for module in layers)
    assert [module.act for module in layers].count("gelu") == 5 * with_gelu
    assert [module.act for module in layers].count("relu") == 5 * with_relu
