"""The convolution in C, and its gradients, against PyTorch's grouped convolution in float64."""

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import torch

from audiotag.layers.kernels import depthwise, native
from audiotag.layers.kernels.depthwise import depthwise_conv2d, reference_depthwise_conv2d
from audiotag.runtime import compiled

built = pytest.mark.skipif(native.library() is None, reason="needs a build of depthwise.c")
TOLERANCE = 1e-6  # of the norm, for sums of up to 4000 products

SHAPES = [  # batch, channels, height, width, kernel height, kernel width
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 1, 23, 31),
    (1, 40, 64, 62, 23, 23),
    (2, 8, 32, 31, 23, 23),
    (3, 17, 16, 15, 23, 23),
    (3, 5, 8, 7, 15, 13),
    (1, 9, 3, 50, 31, 3),
    (2, 16, 41, 2, 5, 31),
    (2, 33, 13, 19, 1, 9),
    (2, 7, 12, 25, 9, 1),
    # Transforms of 14 to 128 values, with all factors:
    (2, 5, 20, 16, 11, 13),
    (1, 4, 41, 18, 15, 15),
    (2, 3, 35, 37, 17, 17),
    (1, 6, 62, 64, 19, 21),
    (3, 2, 29, 26, 25, 23),
    (1, 3, 70, 101, 31, 51),
    (2, 2, 21, 53, 41, 35),
    (2, 9, 19, 14, 21, 21),
    (1, 2, 45, 33, 27, 31),
    (1, 3, 117, 52, 23, 11),
    # In tiles of columns, of rows, and of both; the kernel's gradient in one transform:
    (2, 3, 9, 300, 9, 31),
    (1, 2, 260, 12, 15, 9),
    (1, 1, 150, 170, 11, 41),
    (1, 2, 7, 700, 13, 201),
]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def tensors(batch, channels, height, width, kh, kw):
    """Maps, kernels, a bias and an output gradient."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    shapes = [
        (batch, channels, height, width),
        (channels, 1, kh, kw),
        (channels,),
        (batch, channels, height, width),
    ]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def reference(x, weight, bias, upstream):
    """Output and gradients of maps, kernels and bias, in double precision."""
    wide = [t.double().requires_grad_() for t in (x, weight, bias)]
    y = reference_depthwise_conv2d(*wide)
    return y.detach(), *torch.autograd.grad(y, wide, upstream.double())


def error(ours, exact):
    return ((ours - exact).norm() / exact.norm()).item()


@built
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients_equal_double_precision(shape, layout):
    x, weight, bias, upstream = tensors(*shape)
    exact = reference(x, weight, bias, upstream)
    ours = [x.to(memory_format=layout).requires_grad_(), weight.requires_grad_()]
    ours.append(bias.requires_grad_())
    y = native.depthwise_conv2d(*ours)
    grads = torch.autograd.grad(y, ours, upstream.to(memory_format=layout))
    assert y.is_contiguous(memory_format=layout)
    for mine, other in zip((y, *grads), exact, strict=True):
        assert mine.shape == other.shape
        assert error(mine, other) < TOLERANCE


@built
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [SHAPES[2], SHAPES[4], SHAPES[5], SHAPES[8]])
def test_bfloat16_is_rounded_but_once(shape, layout):
    x, weight, bias, upstream = tensors(*shape)
    x, upstream = (t.bfloat16().to(memory_format=layout) for t in (x, upstream))
    exact = reference(x, weight, bias, upstream)
    ours = [x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    y = native.depthwise_conv2d(*ours)
    grads = torch.autograd.grad(y, ours, upstream)
    assert y.is_contiguous(memory_format=layout)
    for mine, other in zip((y, grads[0]), exact[:2], strict=True):
        assert mine.dtype == torch.bfloat16
        rounding = other.abs() * 2**-8 + 5 * TOLERANCE * other.std()
        assert ((mine.double() - other).abs() <= rounding).all()
    for mine, other in zip(grads[1:], exact[2:], strict=True):
        assert mine.dtype == torch.float32
        assert error(mine, other) < TOLERANCE


@built
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [SHAPES[2], SHAPES[4], SHAPES[5], SHAPES[10], SHAPES[22]])
def test_squares_plus_a_constant_are_correlated_as_well(shape, layout):
    x, weight, bias, _ = tensors(*shape)
    plus = torch.tensor([-0.4])
    exact = reference_depthwise_conv2d((x.double() ** 2 - 0.4), weight.double(), bias.double())
    x = x.to(memory_format=layout)
    assert error(native.correlate(x, weight, bias, plus), exact) < TOLERANCE
    half = native.correlate(x.bfloat16(), weight, bias, plus)
    assert error(half, exact) < 2**-7


def test_squares_plus_a_constant_have_gradients():
    x, weight, bias, upstream = tensors(2, 5, 12, 10, 9, 11)
    tensors_of = [t.requires_grad_() for t in (x, weight, bias, torch.tensor([0.3]))]
    y = depthwise_conv2d(*tensors_of)
    wide = [t.detach().double().requires_grad_() for t in tensors_of]
    exact = reference_depthwise_conv2d(wide[0] ** 2 + wide[3], wide[1], wide[2])
    pairs = zip(
        torch.autograd.grad(y, tensors_of, upstream),
        torch.autograd.grad(exact, wide, upstream.double()),
        strict=True,
    )
    assert error(y, exact) < TOLERANCE and all(error(*pair) < TOLERANCE for pair in pairs)


@built
def test_what_is_no_number_stays_none_in_bfloat16():
    x = torch.zeros(1, 16, 9, 9)
    x[0, :3, 4, 4] = torch.tensor([float("inf"), -float("inf"), float("nan")])
    weight = torch.zeros(16, 1, 9, 9)
    weight[:, :, 4, 4] = 1
    y = native.depthwise_conv2d(x.bfloat16(), weight)
    assert torch.equal(y.isnan(), reference_depthwise_conv2d(x, weight).isnan())


@built
def test_what_is_no_number_stays_in_its_map():
    x, weight, bias, _ = tensors(3, 20, 32, 31, 23, 23)
    x[1, 17, 4, 4] = torch.nan
    y, exact = native.correlate(x, weight, bias), reference_depthwise_conv2d(x, weight, bias)
    assert y[1, 17][exact[1, 17].isnan()].isnan().all()
    y[1, 17] = exact[1, 17] = 0
    assert error(y, exact.double()) < TOLERANCE


@built
def test_any_strides_will_do():
    x, weight, bias, upstream = tensors(2, 9, 12, 10, 9, 11)
    exact = reference(x, weight, bias, upstream)[0]
    spread = torch.zeros(2, 18, 24, 10)[:, ::2, ::2].copy_(x)
    turned = weight.transpose(-2, -1).contiguous().transpose(-2, -1)
    assert error(native.correlate(spread, turned, bias), exact) < TOLERANCE
    grads = native.weight_gradient(spread, upstream.sum((0, 1)).expand_as(x), 9, 11)
    wanted = reference(x, weight, bias, upstream.sum((0, 1)).expand_as(x))[2]
    assert error(grads, wanted) < TOLERANCE


@built
def test_no_bias_and_only_the_gradients_asked_for():
    x, weight, bias, upstream = tensors(2, 5, 16, 15, 23, 23)
    exact = reference(x, weight, torch.zeros_like(bias), upstream)
    y = native.depthwise_conv2d(x, weight.requires_grad_())
    y.backward(upstream)
    assert error(y, exact[0]) < TOLERANCE
    assert error(weight.grad, exact[2]) < TOLERANCE
    assert x.grad is None


# Taps that end, or begin, where memory does: what is read beyond them ends the process.
AT_THE_EDGE = """
import ctypes, mmap
import numpy as np
import torch
from audiotag.layers.kernels import native

def guarded(size, at_end):
    page = mmap.PAGESIZE
    buffer = mmap.mmap(-1, 3 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    for forbidden in (address, address + 2 * page):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(forbidden), page, 0) == 0
    offset = 2 * page - 4 * size if at_end else page
    return torch.from_numpy(np.frombuffer(buffer, np.float32, size, offset))

x = torch.randn(2, 33, 3, 2)
for at_end in (True, False):
    taps = guarded(33, at_end).fill_(2.0).view(33, 1, 1, 1)
    for turn in (False, True):
        torch.testing.assert_close(native.correlate(x, taps, turn=turn), 2 * x)
    grad = guarded(66, at_end).fill_(2.0).view(2, 33, 1, 1)
    point = x[..., :1, :1].contiguous()
    torch.testing.assert_close(native.weight_gradient(point, grad, 1, 1)[:, 0], 2 * point.sum(0))
"""


@built
def test_nothing_is_read_beyond_the_taps():
    subprocess.run([sys.executable, "-c", AT_THE_EDGE], check=True)


@built
@pytest.mark.parametrize("threads", [1, 2, 4, 7])
def test_every_count_of_threads_gives_the_same_bits(threads):
    # Transformed, two images at once; each of two threads has images of its own.
    x, weight, bias, upstream = tensors(6, 20, 19, 15, 11, 11)
    count = torch.get_num_threads()
    outputs = []
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            gradient = native.weight_gradient(x, upstream, 11, 11)
            outputs.append((native.correlate(x, weight, bias), gradient))
    finally:
        torch.set_num_threads(count)
    for first, second in zip(*outputs, strict=True):
        assert torch.equal(first, second)


@built
def test_every_build_that_this_cpu_runs_gives_the_same(monkeypatch):
    folder = Path(native.__file__).parent
    names = [native.PLAIN_BUILD]
    names += [native.BUILDS[key] for key in native.BUILDS if key == native.capability()]
    x, weight, bias, upstream = tensors(2, 19, 16, 15, 23, 23)
    exact = reference(x, weight, bias, upstream)[0]
    for name in names:
        if any((folder / f"{name}{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
            loaded = native.load(name)
            monkeypatch.setattr(native, "library", lambda loaded=loaded: loaded)
            assert error(native.correlate(x, weight, bias), exact) < TOLERANCE


@built
def test_large_convolution_is_done_here(monkeypatch):
    calls = []
    monkeypatch.setattr(native, "depthwise_conv2d", lambda *values: calls.append(values))
    x, weight, _, _ = tensors(1, 2, 16, 15, 23, 23)
    depthwise_conv2d(x, weight)
    depthwise_conv2d(x.bfloat16(), weight.bfloat16())
    depthwise_conv2d(x.double(), weight.double())
    depthwise_conv2d(x[:0], weight)
    depthwise_conv2d(x, weight[..., 8:-8, 8:-8])
    assert len(calls) == 2


def test_kernels_of_other_channels_are_refused():
    x, weight, bias, _ = tensors(1, 4, 16, 15, 23, 23)
    with pytest.raises(ValueError, match="4 channels"):
        native.depthwise_conv2d(x, weight[:3], bias)
    with pytest.raises(ValueError, match="4 channels"):
        native.depthwise_conv2d(x, weight, bias[:3])


@built
def test_compiled_model_computes_the_same():
    x, weight, bias, _ = tensors(1, 4, 16, 15, 23, 23)
    compiled = torch.compile(depthwise_conv2d, backend="eager")
    assert error(compiled(x, weight, bias), depthwise_conv2d(x, weight, bias)) < TOLERANCE


def test_without_the_library_all_works(monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    native.library.cache_clear()
    try:
        assert native.library() is None
        x, weight, bias, upstream = tensors(2, 3, 16, 15, 23, 23)
        exact = reference(x, weight, bias, upstream)
        weight.requires_grad_()
        y = depthwise.depthwise_conv2d(x, weight, bias)
        y.backward(upstream)
        assert error(y, exact[0]) < TOLERANCE
        assert error(weight.grad, exact[2]) < TOLERANCE
    finally:
        monkeypatch.undo()
        native.library.cache_clear()


def test_a_file_that_cannot_be_loaded_is_passed_over(monkeypatch, tmp_path):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    spec = type("Spec", (), {"origin": str(broken)})
    monkeypatch.setattr(compiled, "find_spec", lambda name: spec)
    native.library.cache_clear()
    try:
        assert native.library() is None
    finally:
        monkeypatch.undo()
        native.library.cache_clear()
