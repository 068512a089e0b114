"""The GPU's depthwise convolution, run by Triton's interpreter and compiled for an H100.

Triton decides whether to interpret when it is imported, so this file is also the program that a
subprocess runs: it prints the errors of every case as JSON.
"""

import inspect
import json
import re
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.layers import kernels
from audiotag.layers.kernels import availability
from tests.support.triton_interpreter import run_interpreted

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-2}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LAST, FIRST = torch.channels_last, torch.contiguous_format
CASES = {  # batch, channels, height, width, kernel height, kernel width; dtype; memory format
    "kernel cropped to twice the map": ((2, 4, 8, 7, 15, 13), "bfloat16", LAST),
    "eight channels a program": ((1, 8, 6, 5, 7, 9), "bfloat16", LAST),
    "window in two parts, channels first": ((1, 1, 9, 40, 5, 31), "float32", FIRST),
    "odd channels": ((2, 3, 9, 40, 9, 17), "float16", LAST),
    "kernel above twice the height": ((1, 2, 12, 36, 23, 23), "float32", LAST),
    "one row": ((3, 5, 1, 5, 1, 9), "float32", LAST),
    "one column": ((2, 2, 5, 1, 9, 1), "bfloat16", FIRST),
    "one cell": ((2, 2, 1, 1, 1, 1), "float32", LAST),
    "batch in two sums": ((300, 1, 3, 3, 5, 5), "float32", FIRST),
    "one map in two programs": ((1, 1, 3, 600, 5, 5), "float16", LAST),
    "every second row": ((2, 2, 6, 9, 5, 7), "float32", None),
}


def problem(shape: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
    """Maps, kernels and bias in double precision, and a gradient of the output."""
    batch, channels, height, width, kh, kw = shape
    generator = torch.Generator().manual_seed(sum(shape))
    shapes = [(batch, channels, height, width), (channels, 1, kh, kw), (channels,)]
    values = [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes]
    return values, torch.randn(shapes[0], dtype=torch.float64, generator=generator)


def laid_out(maps: Tensor, memory_format: torch.memory_format | None) -> Tensor:
    """Maps in a memory format; None is a view that leaves out every second row."""
    if memory_format is None:
        return torch.stack([maps, maps], 3).flatten(2, 3)[:, :, ::2]
    return maps.contiguous(memory_format=memory_format)


def relative_errors(case: str, device: str) -> list[float]:
    """Errors of output and gradients of maps, kernels and bias, against double precision."""
    from audiotag.layers.kernels import triton_depthwise

    shape, name, memory_format = CASES[case]
    values, upstream = problem(shape)
    exact = [v.requires_grad_() for v in values]
    padding = (shape[4] // 2, shape[5] // 2)
    expected = F.conv2d(*exact, padding=padding, groups=shape[1])
    theirs = torch.autograd.grad(expected, exact, upstream)

    dtype = DTYPES[name]
    x = laid_out(values[0].detach().to(device, dtype), memory_format).requires_grad_()
    wide = [v.detach().to(device, torch.float32).requires_grad_() for v in values[1:]]
    y = triton_depthwise.depthwise_conv2d(x, *wide)
    grads = torch.autograd.grad(y, (x, *wide), laid_out(upstream.to(device, dtype), memory_format))
    assert [g.dtype for g in grads] == [dtype, torch.float32, torch.float32]
    pairs = zip((y, *grads), (expected, *theirs), strict=True)
    return [((a.cpu().double() - b).norm() / b.norm()).item() for a, b in pairs]


def interpret() -> None:
    """Run every case on the CPU and print the errors."""
    widen_bfloat16()
    print(json.dumps({case: relative_errors(case, "cpu") for case in CASES}))


def widen_bfloat16() -> None:
    """Let the interpreter multiply bfloat16: it keeps them as the integers of their bits."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    def wide(handle):
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    dot = InterpreterBuilder.create_dot
    InterpreterBuilder.create_dot = lambda self, a, b, *rest: dot(self, wide(a), wide(b), *rest)


@pytest.fixture(scope="module")
def interpreted() -> dict[str, list[float]]:
    """Errors of every case in the interpreter."""
    return run_interpreted(__file__)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_equal_double_precision_conv2d(case, interpreted):
    tolerance = TOLERANCE[DTYPES[CASES[case][1]]]
    assert all(error < tolerance for error in interpreted[case])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", CASES)
def test_kernels_on_the_gpu_equal_double_precision_conv2d(case):
    tolerance = TOLERANCE[DTYPES[CASES[case][1]]]
    assert all(error < tolerance for error in relative_errors(case, "cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_weight_gradient_has_the_same_bits_every_time():
    from audiotag.layers.kernels import triton_depthwise

    x, grad = torch.randn(2, 64, 32, 64, 62, device="cuda", dtype=torch.bfloat16)
    first, second = (triton_depthwise.weight_gradient(x, grad, 23, 23) for _ in range(2))
    assert torch.equal(first, second)


class Recorder:
    """Stands in for a kernel and keeps what it would be launched with."""

    def __init__(self, kernel):
        self.function, self.options = kernel.function, kernel.options

    def launch(self, programs, *values, **constants):
        self.values, self.constants = values, constants


def compile_for_h100(record: Recorder):
    """A kernel compiled as its recorded launch on an H100 would compile it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names, fixed, types, aligned = record.function.arg_names, {}, {}, {}
    pointers = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
    for position, (name, value) in enumerate(zip(names, record.values, strict=False)):
        types[name] = pointers[value.dtype] if isinstance(value, Tensor) else "i32"
        if isinstance(value, Tensor):
            aligned[(position,)] = [["tt.divisibility", 16]]
    for name, value in record.constants.items():
        types[name], fixed[(names.index(name),)] = "constexpr", value
    source = ASTSource(record.function, types, fixed, aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=record.options)


def local_memory(compiled, folder) -> int:
    """Bytes of a thread that did not fit its registers."""
    from triton import knobs

    cubin = folder / "kernel.cubin"
    cubin.write_bytes(compiled.asm["cubin"])
    command = [knobs.nvidia.cuobjdump.path, "-res-usage", str(cubin)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", text)[1])


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What the kernels of a convolution's three passes would be launched with, by data type."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from audiotag.layers.kernels import triton_depthwise

    def record(dtype: torch.dtype) -> dict[str, Recorder]:
        records = {}
        for name in ("_PLANES", "_TAPS", "_OUTER", "_DIAGONAL"):
            records[name] = Recorder(getattr(triton_depthwise, name))
            monkeypatch.setattr(triton_depthwise, name, records[name])
        records["_CORRELATE"] = Recorder(triton_depthwise._CORRELATE[dtype.itemsize])
        monkeypatch.setitem(triton_depthwise._CORRELATE, dtype.itemsize, records["_CORRELATE"])
        x = torch.empty(64, 16, 32, 31, dtype=dtype).to(memory_format=torch.channels_last)
        triton_depthwise.depthwise_conv2d(x, torch.empty(16, 1, 23, 23))
        triton_depthwise.weight_gradient(x, x, 23, 23)
        return records

    return record


# Bytes of a thread that may lie in memory: float32's weight gradient has more than fits.
SPILLED = {torch.bfloat16: 64, torch.float32: 512}


@pytest.mark.parametrize("dtype", SPILLED)
@pytest.mark.parametrize("name", ["_CORRELATE", "_OUTER"])
def test_kernels_compile_for_tensor_cores(name, dtype, recorded, tmp_path):
    compiled = compile_for_h100(recorded(dtype)[name])
    shape = "m16n8k16" if dtype == torch.bfloat16 else "m16n8k8"
    assert f"mma.sync.aligned.{shape}" in compiled.asm["ptx"]
    assert local_memory(compiled, tmp_path) <= SPILLED[dtype]


@pytest.mark.parametrize("name", ["_CORRELATE", "_OUTER"])
def test_what_is_multiplied_never_passes_through_shared_memory(name, recorded):
    ptx = compile_for_h100(recorded(torch.bfloat16)[name]).asm["ptx"]
    last_product, loads = ptx.rindex("mma.sync"), ptx.count("ld.global.v4")
    assert loads > 0 and "ld.shared" not in ptx[:last_product]


def test_triton_launches_as_this_package_does():
    pytest.importorskip("triton")
    from triton.backends.nvidia.driver import CudaLauncher
    from triton.compiler import CompiledKernel

    names = list(inspect.signature(CudaLauncher.__call__).parameters)
    assert names[1:6] == ["gridX", "gridY", "gridZ", "stream", "function"]
    source = inspect.getsource(CompiledKernel.__getitem__)
    assert "self.function, self.packed_metadata, launch_metadata" in source


class Compiled:
    """Stands in for what Triton compiled."""

    function, packed_metadata = 7, (4, 1, 0)

    def __init__(self):
        self.launches = []

    def run(self, *arguments):
        self.launches.append(arguments)


class Function:
    """Stands in for a kernel of Triton's that compiles at each launch."""

    def __init__(self):
        self.compiled = []

    def __getitem__(self, grid):
        def launch(*values, **constants):
            self.compiled.append(Compiled())
            return self.compiled[-1]

        return launch


def test_a_kernel_is_compiled_once_for_each_type_alignment_and_constant(monkeypatch):
    pytest.importorskip("triton")
    from audiotag.layers.kernels import triton_launch

    class Driver:
        class active:
            get_current_stream = staticmethod(lambda device: 11)

    monkeypatch.setattr(triton_launch, "driver", Driver)
    function = Function()
    kernel = triton_launch.Kernel(function)
    x = torch.zeros(16)
    for size in (3, 4, 5):
        kernel.launch(2, x, size, SIDE=16)
    assert len(function.compiled) == 1
    expected = (2, 1, 1, 11, 7, (4, 1, 0), None, None, None)
    assert [launch[:9] for launch in function.compiled[0].launches] == [expected] * 2
    assert [launch[10:] for launch in function.compiled[0].launches] == [(4, 16), (5, 16)]
    kernel.launch(2, x, 3, SIDE=32)
    kernel.launch(2, x[1:], 3, SIDE=32)
    kernel.launch(2, x.half(), 3, SIDE=32)
    assert len(function.compiled) == 4


def test_without_triton_there_are_no_kernels(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "triton", None)  # importing it fails
    for name in ("triton_depthwise", "triton_depthwise_kernels", "triton_launch"):
        monkeypatch.delitem(sys.modules, f"audiotag.layers.kernels.{name}", raising=False)
        monkeypatch.delattr(kernels, name, raising=False)
    availability.triton_module.cache_clear()
    assert availability.triton_module("triton_depthwise", torch.device("cuda")) is None
    availability.triton_module.cache_clear()


def test_which_maps_the_kernels_take():
    pytest.importorskip("triton")
    from audiotag.layers.kernels.triton_depthwise import is_preferred

    x = torch.empty(2, 8, 64, 62)
    assert is_preferred(x, 23, 23) and is_preferred(x.bfloat16(), 31, 31)
    assert not is_preferred(x.double(), 23, 23)
    assert not is_preferred(x, 127, 123)
    assert not is_preferred(x[:0], 23, 23)


if __name__ == "__main__":
    interpret()
