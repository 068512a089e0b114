"""Check the GPU kernels, and measure how fast layers and models are with them.

    python recipes/bench/gpu.py                      everything, as a table
    python recipes/bench/gpu.py --json > gpu.json    the same as JSON
    python recipes/bench/gpu.py --sections checks    one section: checks, layers or models
    python recipes/bench/gpu.py --device cpu --quick the parts that need no GPU, in seconds

Checks compare with conv2d in float64. Layers and models are timed in turn; times are medians, by
CUDA events. Each row is also written to standard error as soon as it is known. If a measurement
runs out of memory or does not compile, its row says so.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor

from audiotag.benchmarks.models import ModelWork, Setting
from audiotag.layers.kernels import spectral
from audiotag.layers.kernels.availability import triton_module
from audiotag.layers.kernels.depthwise import (
    DIRECT_KERNEL_AREA,
    crop_kernel,
    depthwise_conv2d,
    reference_depthwise_conv2d,
)

try:
    from triton.errors import TritonError

    from audiotag.layers.kernels import triton_depthwise
except ImportError:
    FAILURES: tuple[type[Exception], ...] = (RuntimeError,)  # running out of memory is one
    HAS_TRITON = False
else:
    FAILURES = (RuntimeError, TritonError)
    HAS_TRITON = True

Work = Callable[[], object]

KERNEL, PLAIN = 23, 7  # sides of DCLS kernels and of the baseline's
BATCHES = (64, 256)
LAYERS = (  # channels, height and width of the depthwise convolutions' maps at 10 s
    *((96, 64, 62), (192, 32, 31), (384, 16, 15), (768, 8, 7)),  # ConvNeXt-T
    *((128, 64, 62), (256, 32, 31), (640, 16, 16), (1024, 8, 8)),  # ConvFormer-S18
    *((64, 64, 62), (128, 32, 31), (256, 16, 16), (512, 8, 8)),  # FastViT-SA24
)
ODD = (  # channels, height, width, kernel height, kernel width
    *((3, 1, 60, 1, 101), (5, 60, 1, 61, 1), (40, 5, 70, 23, 23), (12, 33, 33, 31, 31)),
    *((16, 128, 1000, 31, 31), (2, 60, 90, 9, 25), (8, 100, 100, 99, 99)),
)
TOLERANCES = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-2}
FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
CHECK_BATCH = 3
FAMILIES = ("convnext_{}_tiny", "convformer_{}_s18", "fastvit_{}_sa24")


@dataclass(frozen=True)
class Scope:
    """What to measure, and on what.

    Attributes:
        device: "cuda" or "cpu".
        warm_ups: Calls before anything is timed.
        runs: How often each is measured, in turn with the others.
        run_seconds: How long calls are repeated in one measurement.
        most_seconds: Time after which a slow call is not measured again.
        batches: Batch sizes.
        layers: Channels, height and width of maps.
        odd: The same, with kernel height and width, of further checks.
        families: Names of architectures with a placeholder for the kind of convolution.
        model_args: Other arguments of the models.
        seconds: Length of a clip.
    """

    device: str = "cuda"
    warm_ups: int = 3
    runs: int = 10
    run_seconds: float = 0.05
    most_seconds: float = 3.0
    batches: tuple[int, ...] = BATCHES
    layers: tuple[tuple[int, ...], ...] = LAYERS
    odd: tuple[tuple[int, ...], ...] = ODD
    families: tuple[str, ...] = FAMILIES
    model_args: dict | None = None
    seconds: float = 10.0


QUICK = Scope(
    device="cpu",
    warm_ups=1,
    runs=2,
    run_seconds=1e-3,
    batches=(1,),
    layers=((8, 8, 7),),
    odd=((3, 1, 20, 1, 31),),
    families=("convnext_{}_atto",),
    model_args={"depths": [1, 1, 1, 1], "dims": [4, 4, 8, 8]},
    seconds=2.0,
)


@dataclass(frozen=True)
class Row:
    """One line of the table; values that do not apply are None.

    Attributes:
        what: "check", or the work that is timed.
        where: Layer or model, batch and type.
        way: The implementation.
        error: Largest relative error of output and gradients.
        ms: Median time of a call.
        per_second: Clips a second.
        ratio: Speed over the baseline's, which has a 7x7 kernel.
        peak_mib: Peak memory in MiB, above the memory in use before.
        note: "ok", "WRONG", or what went wrong.
    """

    what: str
    where: str
    way: str
    error: float | None = None
    ms: float | None = None
    per_second: float | None = None
    ratio: float | None = None
    peak_mib: float | None = None
    note: str = ""


def check_rows(scope: Scope) -> Iterator[Row]:
    """Errors of output and gradients against double precision."""
    layers = [(*layer, KERNEL, KERNEL) for layer in scope.layers]
    for shape in (*layers, *scope.odd):
        for dtype, tolerance in TOLERANCES.items():
            for name, layout in FORMATS.items():
                where = f"{_shape(shape[:3])}, {_shape(shape[3:])}, {_name(dtype)}, {name}"
                way = _way(shape, dtype, scope.device)
                try:
                    error = _error(shape, dtype, layout, scope.device)
                except FAILURES as failure:
                    yield Row("check", where, way, note=_reason(failure))
                else:
                    note = "ok" if error < tolerance else "WRONG"  # NaN is wrong
                    yield Row("check", where, way, error=error, note=note)
        _forget()


def _way(shape: Sequence[int], dtype: torch.dtype, device: str) -> str:
    """What computes a convolution of this package."""
    channels, height, width, kh, kw = shape
    kernels = triton_module("triton_depthwise", torch.device(device))
    kernel = crop_kernel(torch.empty(1, 1, kh, kw), height, width)
    if kernel[0, 0].numel() <= DIRECT_KERNEL_AREA:
        return "torch"
    maps = torch.empty(CHECK_BATCH, channels, height, width, dtype=dtype, device="meta")
    preferred = kernels is not None and kernels.is_preferred(maps, *kernel.shape[-2:])
    return "Triton" if preferred else f"without Triton, {device}"


def _error(
    shape: Sequence[int], dtype: torch.dtype, layout: torch.memory_format, device: str
) -> float:
    """Largest relative error of output and gradients of maps, kernels and bias."""
    channels, height, width, kh, kw = shape
    maps = (CHECK_BATCH, channels, height, width)
    sizes = (maps, (channels, 1, kh, kw), (channels,), maps)
    # Inputs are rounded first, so that only the computation differs.
    given = [torch.randn(size, device=device).to(dtype) for size in sizes]
    given = [v.contiguous(memory_format=layout) if v.shape == maps else v for v in given]
    exact = [v.double().requires_grad_() for v in given[:3]]
    ours = [v.requires_grad_() for v in given[:3]]
    pairs = []
    for conv, values in ((depthwise_conv2d, ours), (reference_depthwise_conv2d, exact)):
        y = conv(*values)
        pairs.append((y, *torch.autograd.grad(y, values, given[3].to(y.dtype))))
    # Not Python's `max`, which can lose a NaN.
    return torch.stack([_distance(a, b) for a, b in zip(*pairs, strict=True)]).max().item()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b).norm() / b.norm()


def layer_rows(scope: Scope) -> Iterator[Row]:
    """Times of one convolution, forward and both gradients, with every implementation."""
    dtype = torch.bfloat16
    for batch in scope.batches:
        for channels, height, width in scope.layers:
            shape, device = (batch, channels, height, width), scope.device
            try:
                x, grad = (
                    torch.randn(shape, device=device, dtype=dtype).to(
                        memory_format=torch.channels_last
                    )
                    for _ in range(2)
                )
            except FAILURES as failure:
                yield Row("layer", _shape(shape), "inputs", note=_reason(failure))
                continue
            where = f"{_shape(shape)}, {_name(dtype)}"
            for what, works in (("forward", forwards(x)), ("backward", backwards(x, grad))):
                yield from _timed(what, where, works, scope, batch)
            del x, grad
            _forget()


def _kernels(x: Tensor, side: int) -> Tensor:
    """Random kernels (C, 1, kh, kw) for maps, cropped to the part that can overlap them."""
    weight = torch.randn(x.shape[1], 1, side, side, device=x.device, dtype=x.dtype)
    return crop_kernel(weight, x.shape[-2], x.shape[-1]).contiguous()


def forwards(x: Tensor) -> dict[str, Work]:
    """Ways to convolve maps, by name; the baseline first."""
    plain, wide = _kernels(x, PLAIN), _kernels(x, KERNEL)
    works: dict[str, Work] = {
        f"torch {PLAIN}x{PLAIN}": lambda: reference_depthwise_conv2d(x, plain),
        f"torch {KERNEL}x{KERNEL}": lambda: reference_depthwise_conv2d(x, wide),
        "FFT": lambda: spectral.correlate(x, wide),
    }
    if x.is_cuda and HAS_TRITON:
        works["Triton"] = partial(triton_depthwise.depthwise_conv2d, x, wide)
    return works


def backwards(x: Tensor, grad: Tensor) -> dict[str, Work]:
    """Ways to compute both gradients, by name; the baseline first. Triton's weight gradient also
    alone."""
    plain, wide = _kernels(x, PLAIN), _kernels(x, KERNEL)
    kh, kw = wide.shape[-2:]
    works: dict[str, Work] = {
        f"torch {PLAIN}x{PLAIN}": lambda: _torch_gradients(x, grad, plain),
        f"torch {KERNEL}x{KERNEL}": lambda: _torch_gradients(x, grad, wide),
        "FFT": lambda: spectral.gradients(x, grad, wide),
    }
    if x.is_cuda and HAS_TRITON:
        leaves = x.detach().requires_grad_(), wide.detach().requires_grad_()
        y = triton_depthwise.depthwise_conv2d(*leaves)
        works["Triton"] = partial(torch.autograd.grad, y, leaves, grad, retain_graph=True)
        works["Triton, weight only"] = partial(triton_depthwise.weight_gradient, x, grad, kh, kw)
    return works


def _torch_gradients(x: Tensor, grad: Tensor, weight: Tensor) -> object:
    padding = [side // 2 for side in weight.shape[-2:]]
    return torch.ops.aten.convolution_backward(
        *(grad, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0]),
        *(len(weight), [True, True, False]),
    )


def model_rows(scope: Scope) -> Iterator[Row]:
    """Throughput of whole models: with 7x7 kernels, with DCLS, and in training also with the dcls
    package's layers."""
    for family in scope.families:
        for train in (False, True):
            for batch in scope.batches:
                setting = Setting(
                    scope.device, "bf16", torch.get_num_threads(), batch, scope.seconds, train
                )
                what = "training step" if train else "inference"
                where = f"{family.format('...')}, batch {batch}, bf16"
                yield from _timed(what, where, _models(family, setting, scope), scope, batch)


def _models(family: str, setting: Setting, scope: Scope) -> dict[str, Work]:
    plain, dcls = family.format("audio"), family.format("dcls_audio")
    arguments = scope.model_args or {}
    works: dict[str, Work] = {
        f"{PLAIN}x{PLAIN}": Later(ModelWork(plain, setting, model_args=arguments)),
        "DCLS": Later(ModelWork(dcls, setting, model_args=arguments)),
    }
    if setting.train:
        works["DCLS, dcls package"] = Later(ModelWork(dcls, setting, True, arguments))
    return works


class Later:
    """The work of a model, set up on its first call, where errors are caught."""

    def __init__(self, work: ModelWork) -> None:
        self.work = work
        self.step: Work | None = None

    def __call__(self) -> object:
        if self.step is None:
            self.step = self.work.start()
        return self.step()


def _timed(
    what: str, where: str, works: Mapping[str, Work], scope: Scope, batch: int
) -> Iterator[Row]:
    """A row for each work, the first one being the baseline."""
    peaks, notes, calls = {}, {}, {}
    for way, work in works.items():
        try:
            peaks[way], calls[way] = _warm_up(work, scope)
        except FAILURES as failure:
            notes[way] = _reason(failure)
        _forget()
    times: dict[str, list[float]] = {way: [] for way in calls}
    spent = dict.fromkeys(calls, 0.0)
    for _ in range(scope.runs):
        for way in [x for x in calls if x not in notes and spent[x] < scope.most_seconds]:
            try:
                times[way].append(_time(works[way], calls[way], scope.device))
                spent[way] += calls[way] * times[way][-1] / 1e3
            except FAILURES as failure:
                notes[way] = _reason(failure)
                _forget()
    baseline = _median(times.get(next(iter(works)), ()))
    for way in works:
        ms = None if way in notes else _median(times[way])
        yield Row(
            *(what, where, way),
            ms=ms,
            per_second=1e3 * batch / ms if ms else None,
            ratio=baseline / ms if baseline and ms else None,
            peak_mib=peaks.get(way),
            note=notes.get(way, ""),
        )


def _warm_up(work: Work, scope: Scope) -> tuple[float | None, int]:
    """Peak memory of a work in MiB, and how often to call it in a run."""
    cuda = scope.device == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    for _ in range(scope.warm_ups):
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        ms = _time(work, 1, scope.device)
        if ms > 1e3 * scope.most_seconds:
            break
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20 if cuda else None
    return peak, max(1, round(1e3 * scope.run_seconds / ms))


def _time(work: Work, calls: int, device: str) -> float:
    """Milliseconds of one of several calls."""
    if device != "cuda":
        began = time.perf_counter()
        for _ in range(calls):
            work()
        return 1e3 * (time.perf_counter() - began) / calls
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / calls


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _forget() -> None:
    """Return unused memory to the device."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _reason(failure: Exception) -> str:
    if isinstance(failure, torch.OutOfMemoryError):
        return "out of memory"
    lines = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {lines[0][:100] if lines else ''}"


def _shape(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def cell(value: object) -> str:
    """A value as the table shows it."""
    if isinstance(value, float):
        return f"{value:.1e}" if abs(value) < 1e-2 else f"{value:.2f}"
    return "" if value is None else str(value)


def table(rows: Sequence[Row]) -> str:
    """The rows as text, in aligned columns."""
    names = [field.name for field in fields(Row)]
    lines = [names, *([cell(getattr(row, name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


SECTIONS = {"checks": check_rows, "layers": layer_rows, "models": model_rows}


def main() -> int:
    """Run the chosen sections; returns 1 if a check failed or could not be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to try the script")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device; give --device cpu --quick to try the script")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True  # the baseline is torch at its fastest
    scope = replace(QUICK if options.quick else Scope(), device=options.device)
    rows = []
    for section in options.sections:
        for row in SECTIONS[section](scope):
            print(json.dumps(asdict(row)), file=sys.stderr, flush=True)
            rows.append(row)
    place = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    if options.json:
        result = {"device": place, "torch": torch.__version__, "runs": scope.runs}
        print(json.dumps(result | {"rows": [asdict(row) for row in rows]}, indent=1))
    else:
        print(f"{place}, torch {torch.__version__}, medians of {scope.runs} runs in turn")
        print(table(rows))
    return int(any(row.what == "check" and row.note != "ok" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
