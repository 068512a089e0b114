"""Depthwise convolution and its gradients against PyTorch's grouped convolution."""

import pytest
import torch

from audiotag.layers.kernels import pairwise, spectral
from audiotag.layers.kernels.depthwise import depthwise_conv2d, reference_depthwise_conv2d

SHAPES = [  # height, width, kernel height, kernel width
    (64, 31, 23, 23),
    (64, 62, 23, 23),
    (16, 15, 23, 23),
    (8, 7, 23, 23),
    (1, 5, 23, 23),
    (40, 3, 9, 17),
    (12, 12, 7, 7),
    (5, 6, 1, 31),
]


def tensors(height, width, kh, kw, dtype=torch.float64):
    """A batch of 3 maps of 4 channels, their kernels and a bias, all wanting gradients."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    shapes = [(3, 4, height, width), (4, 1, kh, kw), (4,)]
    return [
        torch.randn(shape, dtype=dtype, generator=generator).requires_grad_() for shape in shapes
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients_equal_conv2d(shape):
    x, weight, bias = tensors(*shape)
    y, expected = depthwise_conv2d(x, weight, bias), reference_depthwise_conv2d(x, weight, bias)
    torch.testing.assert_close(y, expected)
    upstream = torch.randn_like(y)
    ours = torch.autograd.grad(y, (x, weight, bias), upstream)
    theirs = torch.autograd.grad(expected, (x, weight, bias), upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_spectral_correlation_equals_conv2d_both_ways(shape):
    x, weight, _ = tensors(*shape)
    torch.testing.assert_close(spectral.correlate(x, weight), reference_depthwise_conv2d(x, weight))
    flipped = reference_depthwise_conv2d(x, weight.flip(-2, -1))
    torch.testing.assert_close(spectral.correlate(x, weight, flip=True), flipped)


def test_gradcheck():
    x, weight, bias = tensors(5, 6, 9, 9)
    assert torch.autograd.gradcheck(depthwise_conv2d, (x, weight, bias))


def test_single_precision_gradient_is_close_to_double():
    double = tensors(64, 62, 23, 23)
    single = tensors(64, 62, 23, 23, torch.float32)
    for target, source in zip(single, double, strict=True):
        target.data.copy_(source.data)
    grads = [
        torch.autograd.grad(depthwise_conv2d(*values).square().sum(), values[1])[0]
        for values in (single, double)
    ]
    assert (grads[0] - grads[1]).norm() / grads[1].norm() < 1e-5


def test_autocast_computes_in_its_type_and_gradients_in_the_parameters():
    x, weight, bias = tensors(16, 15, 23, 23, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = depthwise_conv2d(x, weight, bias)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert weight.grad.dtype == torch.float32
    reference = reference_depthwise_conv2d(x, weight, bias)
    assert (y.float() - reference).norm() / reference.norm() < 1e-2


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="odd"):
        depthwise_conv2d(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_gpu_equals_double_precision_conv2d(shape, dtype, tolerance):
    x, weight, bias = tensors(*shape)
    expected = reference_depthwise_conv2d(x, weight, bias)
    upstream = torch.randn_like(expected)
    theirs = torch.autograd.grad(expected, (x, weight, bias), upstream)
    moved = [t.detach().to("cuda", dtype).requires_grad_() for t in (x, weight, bias)]
    y = depthwise_conv2d(*moved)
    ours = torch.autograd.grad(y, moved, upstream.to("cuda", dtype))
    for mine, other in zip((y, *ours), (expected, *theirs), strict=True):
        assert (mine.cpu().double() - other).norm() / other.norm() < tolerance


@pytest.mark.parametrize("shape", SHAPES)
def test_pairwise_weight_gradient_equals_conv2d(shape):
    x, weight, _ = tensors(*shape)
    upstream = torch.randn_like(x)
    y = reference_depthwise_conv2d(x, weight)
    (expected,) = torch.autograd.grad(y, weight, upstream)
    with torch.no_grad():
        ours = pairwise.weight_gradient(x, upstream, *weight.shape[-2:])
    torch.testing.assert_close(ours, expected)
