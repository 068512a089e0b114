"""Time and memory of models, or of ways to build kernels, measured in turn."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

import torch

from audiotag.backbones.complexity import count_macs, count_parameters
from audiotag.benchmarks.defaults import MODEL_RUNS
from audiotag.benchmarks.kernels import CHANNELS, KernelWork
from audiotag.benchmarks.machine import processor
from audiotag.benchmarks.models import ModelWork, Setting, baseline_of, build, kernel_of, map_shape
from audiotag.benchmarks.peak_memory import peak_memory
from audiotag.benchmarks.transformers import PUBLISHED as TRANSFORMERS
from audiotag.errors import ModelError, OutputError
from audiotag.layers.dcls import DclsConv2d, fold_dcls
from audiotag.layers.folding import fold
from audiotag.models.published.figures import PUBLISHED
from audiotag.models.speed_record import store_speeds
from audiotag.runtime.timing import interleave

DEFAULT_MODELS = (
    "convnext_dcls_audio_tiny",
    "convformer_dcls_audio_s18",
    "fastvit_dcls_audio_sa24",
    "convnext_dcls_audio_atto",
)
PEERS = ("mn04_as", "mn10_as", "ast", "passt_s")
PACKAGE = "package"  # as a baseline: the same model, computed by the `dcls` package
logger = logging.getLogger(__name__)
Report = Callable[[str], None]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Machine:
    """The machine of a measurement: name of its CPU or GPU, and torch's version."""

    processor: str
    torch: str


@dataclass(frozen=True)
class Cost:
    """Time and memory of a piece of work.

    Attributes:
        seconds: Median time.
        baseline: Name of the baseline, or None.
        ratio: Its speed over the baseline's: the median of the ratios of the runs.
        peak_memory: Bytes; None if it cannot be measured.
        memory_ratio: Its peak memory over the baseline's.
        times: Seconds of each run.
    """

    seconds: float
    baseline: str | None
    ratio: float | None
    peak_memory: int | None
    memory_ratio: float | None
    times: tuple[float, ...]


@dataclass(frozen=True)
class ModelSpeed:
    """The cost of a model.

    Attributes:
        name: The model.
        kernel: As `kernel_of` returns it: "DCLS 23x23".
        parameters: Number of trainable parameters.
        macs: Multiply-accumulates of a forward pass for one clip.
        clips_per_second: Throughput.
        published_map: AudioSet mAP in % that its authors published, or None.
        cost: Cost of one batch.
    """

    name: str
    kernel: str
    parameters: int
    macs: int
    clips_per_second: float
    published_map: float | None
    cost: Cost


@dataclass(frozen=True)
class KernelSpeed:
    """The cost of building the kernels of a layer and their gradients.

    Attributes:
        name: The package that builds them.
        channels: Number of kernels.
        cost: Cost of building them once, forward and backward.
    """

    name: str
    channels: int
    cost: Cost


@dataclass(frozen=True)
class SpeedTable(Generic[Row]):
    """Figures of models, or of ways to build kernels, measured in turn.

    Attributes:
        machine: The machine.
        setting: What was measured.
        runs: How often each was measured.
        rows: The figures.
    """

    machine: Machine
    setting: Setting
    runs: int
    rows: tuple[Row, ...]


def measure_settings(
    names: Sequence[str],
    settings: Sequence[Setting],
    baseline: str | None = None,
    peers: bool = False,
    runs: int = MODEL_RUNS,
    report: Report = lambda message: None,
) -> Iterator[SpeedTable[ModelSpeed]]:
    """Measure models at each setting, with `select_models` and `measure_models`.

    Args:
        names: The models; `DEFAULT_MODELS` if there are none.
        settings: What to measure.
        baseline: As for `select_models`.
        peers: Add `PEERS`.
        runs: How often each is measured.
        report: Called with the name of each step.

    Yields:
        The figures of each setting.

    Raises:
        ModelError: As `select_models` and `measure_models`.
        AudioTagError: As `measure_models`.
    """
    for setting in settings:
        works, baselines = select_models(names_of(names, peers), setting, baseline)
        yield measure_models(works, baselines, runs, report)


def names_of(names: Sequence[str], peers: bool) -> list[str]:
    """The models to measure: `DEFAULT_MODELS` if none is named, and `PEERS` if they are wanted."""
    return [*(names or DEFAULT_MODELS), *(PEERS if peers else ())]


def measure_models(
    models: Sequence[ModelWork],
    baselines: Mapping[str, str | None],
    runs: int = MODEL_RUNS,
    report: Report = lambda message: None,
) -> SpeedTable[ModelSpeed]:
    """Time models in turn and measure the peak memory of each.

    Args:
        models: The models, all at the same setting; see `select_models`.
        baselines: For each model's name, that of its baseline.
        runs: How often each is measured.
        report: Called with the name of each step.

    Raises:
        ModelError: If a model cannot be built.
        AudioTagError: If there is too little memory.
    """
    setting = models[0].setting
    described = [_describe(model) for model in models]
    costs = _measure({model.name: model for model in models}, baselines, runs, report)
    rows = [
        ModelSpeed(
            model.name,
            *description,
            setting.batch_size / costs[model.name].seconds,
            published_map(model.model),
            costs[model.name],
        )
        for model, description in zip(models, described, strict=True)
    ]
    return SpeedTable(this_machine(setting.device), setting, runs, tuple(rows))


def published_map(name: str) -> float | None:
    """AudioSet mAP in % that a model's authors published, if they did."""
    return (PUBLISHED | TRANSFORMERS).get(name, (None,))[0]


def keep_speeds(table: SpeedTable[ModelSpeed]) -> None:
    """Keep what `audiotag models` shows of a table: of a CPU that computes clips of 10 s."""
    setting = table.setting
    shown = Setting(device="cpu", threads=setting.threads, batch_size=setting.batch_size)
    if setting != shown:
        return
    try:
        store_speeds({row.name: row.clips_per_second for row in table.rows})
    except OutputError as error:  # the figures themselves are printed
        logger.warning("audiotag models will not show these speeds: %s", error)


def measure_kernels(
    setting: Setting,
    channels: Sequence[int] = CHANNELS,
    runs: int = MODEL_RUNS,
    report: Report = lambda message: None,
) -> SpeedTable[KernelSpeed]:
    """Time the building of kernels and their gradients, by this package and the `dcls` package.

    Args:
        setting: Device and threads; its other fields are not used.
        channels: How many kernels to build at once.
        runs: How often each is measured.
        report: Called with the name of each step.
    """
    works = [KernelWork(count, setting, way) for count in channels for way in (True, False)]
    baselines = {work.name: KernelWork(work.channels, setting, True).name for work in works}
    costs = _measure({work.name: work for work in works}, baselines, runs, report)
    rows = [KernelSpeed(work.way, work.channels, costs[work.name]) for work in works]
    return SpeedTable(this_machine(setting.device), setting, runs, tuple(rows))


def select_models(
    names: Sequence[str], setting: Setting, baseline: str | None = None
) -> tuple[list[ModelWork], dict[str, str | None]]:
    """Models to measure, baselines among them, and the name of the baseline of each.

    Args:
        names: The models.
        setting: What to measure.
        baseline: One model to compare all with; "package" for the same model with the `dcls`
            package's layers; if None, the 7x7 model of each DCLS model.

    Raises:
        ModelError: If `baseline` is "package" and no model has DCLS layers.
    """
    works: dict[str, ModelWork] = {}
    baselines: dict[str, str | None] = {}
    for name in names:
        model, other = ModelWork(name, setting), _baseline_work(name, setting, baseline)
        if other is not None:
            works.setdefault(other.name, other)
            baselines[other.name] = other.name
        works.setdefault(model.name, model)
        if other is not None or name not in baselines:
            baselines[name] = None if other is None else other.name
    if baseline == PACKAGE and not any(baselines.values()):
        raise ModelError(f"none of {', '.join(names)} has DCLS layers; name one that has")
    return list(works.values()), baselines


def compare(
    times: Mapping[str, Sequence[float]], baselines: Mapping[str, str | None]
) -> dict[str, float | None]:
    """Speed of each over its baseline's: the median of the ratios of the runs.

    Other load on the machine changes from run to run, but slows both within a run.
    """
    ratios: dict[str, float | None] = {}
    for name, own in times.items():
        other = baselines[name]
        ratios[name] = None if other is None else _median_ratio(times[other], own)
    return ratios


def _median_ratio(upper: Sequence[float], lower: Sequence[float]) -> float:
    return median(a / b for a, b in zip(upper, lower, strict=True))


def this_machine(device: str) -> Machine:
    """This machine: its GPU if the device is "cuda", else its CPU."""
    if device == "cuda":
        return Machine(torch.cuda.get_device_name(), torch.__version__)
    return Machine(processor(), torch.__version__)


def _baseline_work(name: str, setting: Setting, baseline: str | None) -> ModelWork | None:
    own = baseline_of(name)
    if baseline == PACKAGE:
        return None if own is None else ModelWork(name, setting, package=True)
    other = baseline or own
    return None if other is None else ModelWork(other, setting)


def _describe(work: ModelWork) -> tuple[str, int, int]:
    """Kernel, parameters and MACs of a model."""
    model = build(work.model, work.setting.frames, work.model_args)
    kernel, parameters = kernel_of(model), count_parameters(model)
    shape = (1, *map_shape(model, work.setting))
    with torch.device("meta"):  # only shapes matter from here on
        fold_dcls(model.to("meta"), DclsConv2d.plain)
        return kernel, parameters, count_macs(fold(model.eval()), shape)


def _measure(
    works: Mapping[str, ModelWork] | Mapping[str, KernelWork],
    baselines: Mapping[str, str | None],
    runs: int,
    report: Report,
) -> dict[str, Cost]:
    memory = {}
    for name, work in works.items():
        report(f"memory of {name}")
        memory[name] = peak_memory(work)
    report(f"{runs} runs of {', '.join(works)}")
    cuda = any(work.setting.device == "cuda" for work in works.values())
    threads = torch.get_num_threads()
    try:
        steps = {name: work.start() for name, work in works.items()}
        times = interleave(steps, runs, wait=torch.cuda.synchronize if cuda else None)
    finally:
        torch.set_num_threads(threads)
    ratios, memory_ratios = compare(times, baselines), _ratios(memory, baselines)
    return {
        name: Cost(
            median(times[name]),
            baselines[name],
            ratios[name],
            memory[name],
            memory_ratios[name],
            times[name],
        )
        for name in works
    }


def _ratios(
    values: Mapping[str, float | None], baselines: Mapping[str, str | None]
) -> dict[str, float | None]:
    """Each value over its baseline's; None unless both are known."""
    ratios: dict[str, float | None] = {}
    for name, value in values.items():
        baseline = baselines[name]
        other = None if baseline is None else values[baseline]
        ratios[name] = value / other if value is not None and other else None
    return ratios
