"""The DCLS convolution against the dcls package's own."""

import copy
import logging

import pytest
import torch
from DCLS.construct.modules import Dcls2d
from torch import nn

from audiotag.layers import dcls
from audiotag.layers.dcls import DclsConv2d, clamp_positions, fold_dcls, share_positions
from audiotag.layers.depthwise import DepthwiseConv2d

CHANNELS, ELEMENTS, SIZE = 6, 9, 23


def make(version: str, cls=DclsConv2d, **kwargs):
    """A depthwise layer with positions spread over the kernel, sigmas away from their start."""
    arguments = {"kernel_count": ELEMENTS, "padding": SIZE // 2, "dilated_kernel_size": SIZE}
    arguments |= {"groups": CHANNELS, "version": version, **kwargs}
    torch.manual_seed(1)
    layer = cls(CHANNELS, CHANNELS, **arguments)
    with torch.no_grad():
        layer.P.copy_((4 * torch.randn_like(layer.P)).clamp(-11, 11))
        if layer.SIG is not None:
            layer.SIG.copy_(0.23 + 0.5 * torch.randn_like(layer.SIG).abs())
    return layer


@pytest.mark.parametrize("version", ["gauss", "v1", "max"])
def test_kernel_and_gradients_equal_the_package(version):
    ours, theirs = make(version), make(version, Dcls2d)
    theirs.load_state_dict(ours.state_dict())
    kernel, expected = ours.kernel(), theirs.DCK(theirs.weight, theirs.P, theirs.SIG)
    torch.testing.assert_close(kernel, expected, rtol=0, atol=1e-6)

    upstream = torch.randn_like(kernel)
    names = [name for name, _ in ours.named_parameters() if name != "bias"]
    ours_grad = torch.autograd.grad((kernel * upstream).sum(), [getattr(ours, n) for n in names])
    grads = torch.autograd.grad((expected * upstream).sum(), [getattr(theirs, n) for n in names])
    for mine, other in zip(ours_grad, grads, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_no_number_on_the_way_is_subnormal():
    layer, least = make("gauss"), torch.finfo(torch.float32).tiny
    theirs = make("gauss", Dcls2d)
    rows, columns = dcls.build_basis(layer.P, layer.SIG, (SIZE, SIZE), "gauss")
    for values in (rows, columns, layer.kernel()):
        assert not ((values != 0) & (values.abs() < least)).any()
    package = theirs.DCK(theirs.weight, theirs.P, theirs.SIG)
    assert ((package != 0) & (package.abs() < least)).any()  # there are some, unless taken care of


@pytest.mark.parametrize("version", ["gauss", "v1", "max"])
def test_convolution_equals_the_package(version):
    ours, theirs = make(version), make(version, Dcls2d)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, CHANNELS, 16, 15)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)


def test_dense_and_strided_convolutions_equal_the_package():
    kwargs = {"groups": 1, "stride": 2, "padding": 3, "dilated_kernel_size": 7}
    ours, theirs = make("gauss", **kwargs), make("gauss", Dcls2d, **kwargs)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, CHANNELS, 16, 15)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.fold()(x), theirs(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("height,width", [(64, 62), (23, 23), (8, 7), (3, 30), (1, 1)])
def test_fold_gives_the_same_output_on_every_map_size(height, width):
    layer = make("gauss").eval()
    folded = layer.fold()
    assert isinstance(folded, DepthwiseConv2d)
    x = torch.randn(2, CHANNELS, height, width)
    expected = nn.functional.conv2d(
        x, layer.kernel(), layer.bias, padding=SIZE // 2, groups=CHANNELS
    )
    torch.testing.assert_close(folded(x), expected, rtol=0, atol=1e-5)


def test_state_dict_keys_are_the_packages():
    ours, theirs = make("gauss"), make("gauss", Dcls2d)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


def test_shared_positions_stay_shared_when_learning_and_copying():
    layers = nn.Sequential(make("gauss"), make("gauss"))
    share_positions(layers)
    assert len(list(layers.parameters())) == 2 * 2 + 2  # weight and bias each, P and SIG once
    copied = copy.deepcopy(layers)
    copied(torch.randn(1, CHANNELS, 8, 7)).sum().backward()
    torch.optim.SGD(copied.parameters(), 1.0).step()
    assert torch.equal(copied[0].P, copied[1].P)
    assert not torch.equal(copied[0].P, layers[0].P)


def test_fold_dcls_leaves_no_dcls_layer():
    model = nn.Sequential(make("gauss"), nn.Sequential(make("v1")))
    x = torch.randn(1, CHANNELS, 9, 9)
    expected = model(x)
    fold_dcls(model)
    assert not any(isinstance(module, DclsConv2d) for module in model.modules())
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-5)


def test_positions_off_the_kernel_come_back_to_its_edge():
    layer = make("gauss")
    with torch.no_grad():
        layer.P[0, 0, 0, 0] = 40.0
    clamp_positions(layer)
    assert layer.P.max() == SIZE // 2


def test_unknown_version_is_refused():
    with pytest.raises(ValueError, match="gauss, v1, max"):
        make("cubic")


def test_building_a_layer_says_nothing_and_adds_no_handler(capfd):
    before = list(logging.getLogger().handlers)
    make("gauss")
    assert logging.getLogger().handlers == before
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def builds(monkeypatch):
    """How often a basis is built."""
    count = []
    build = dcls.build_basis

    def build_and_count(*args):
        count.append(1)
        return build(*args)

    monkeypatch.setattr(dcls, "build_basis", build_and_count)
    return count


def test_shared_positions_have_their_basis_built_once_a_pass(builds):
    layers = [make("gauss") for _ in range(3)]
    alone = [copy.deepcopy(layer) for layer in layers]
    share_positions(layers)
    for other in alone:
        other.P.data.copy_(layers[0].P), other.SIG.data.copy_(layers[0].SIG)
    optimizer = torch.optim.SGD({p for layer in layers for p in layer.parameters()}, lr=0.1)
    for step in range(3):  # the second without an update before it: gradients accumulate
        model, copies = nn.Sequential(*layers), nn.Sequential(*alone)
        x = torch.randn(2, CHANNELS, 16, 15)
        builds.clear()
        y = model(x)
        assert len(builds) == 1
        torch.testing.assert_close(y, copies(x), rtol=0, atol=1e-5)
        y.square().sum().backward()
        copies(x).square().sum().backward()
        if step == 1:
            expected = sum(other.P.grad for other in alone)
            torch.testing.assert_close(layers[0].P.grad, expected, rtol=1e-4, atol=1e-4)
            optimizer.step()
            for layer, other in zip(layers, alone, strict=True):
                other.load_state_dict(layer.state_dict())


def test_a_shared_basis_is_never_a_stale_one(builds):
    first, second = make("gauss"), make("gauss")
    share_positions((first, second))
    with torch.inference_mode():
        first.kernel()
    first.kernel().sum().backward()
    second.kernel().sum().backward()  # the first one's history is gone
    first.kernel()
    with torch.no_grad():
        second.P.add_(1)
    moved = copy.deepcopy(second)
    assert torch.equal(second.kernel(), moved.kernel())
    assert moved.basis is not second.basis
    with torch.inference_mode():
        loaded = make("gauss")  # its parameters count no changes
        loaded.P.add_(1)
        assert torch.equal(loaded.kernel(), copy.deepcopy(loaded).kernel())
    pair = copy.deepcopy(nn.Sequential(first, second))
    assert pair[0].basis is pair[1].basis and pair[0].P is pair[1].P
