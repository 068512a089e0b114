"""Engines: what computes scores, torch on any device or onnxruntime on a CPU.

Both take and give NumPy arrays, so that decoding, windows and output are the same code for either,
and a CPU that has the model in ONNX never waits for the import of torch.
"""

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from audiotag.config import ONNX_FILE, read_config
from audiotag.errors import ModelError
from audiotag.labels import Labels
from audiotag.locate import DEFAULT_NAME, model_folder
from audiotag.memory import keep_freed_memory

if TYPE_CHECKING:
    from audiotag.onnx_tagger import OnnxTagger

ENGINES = ("auto", "torch", "onnx")
CUDA_DRIVER = "libcuda.so.1"


class Engine(Protocol):
    """A model ready to run.

    Attributes:
        name: How messages call it.
        labels: The classes.
        sample_rate: Hz of the waveforms it takes.
        min_duration: Seconds; shorter clips are followed by silence up to this.
        is_gpu: Whether it computes on a GPU.
        thresholds: Score from which on each class counts as heard, (classes,); None if none
            were fitted.
    """

    name: str
    labels: Labels

    @property
    def sample_rate(self) -> int: ...

    @property
    def min_duration(self) -> float: ...

    @property
    def is_gpu(self) -> bool: ...

    @property
    def thresholds(self) -> np.ndarray | None: ...

    def score_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T)."""

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T)."""


def open_engine(
    model: str | Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    precision: str = "fp32",
) -> Engine:
    """A model on the engine that suits it.

    Args:
        model: Model folder, `.onnx` file, Hub id (`owner/name[@revision]`), or "default" or
            nothing for the embedded default.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        engine: "torch", "onnx", or "auto": onnx on a CPU where the model has an ONNX file, as it
            starts sooner and computes no slower.
        precision: "fp32", or of torch "bf16".

    Raises:
        ModelError: If model, device, engine and precision do not go together, or there is no such
            model.
        HubError: If a Hub model cannot be had.
    """
    if engine not in ENGINES:
        raise ModelError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if precision != "fp32":
        if engine == "onnx" or str(model).endswith(".onnx"):
            raise ModelError(f"onnxruntime computes in fp32; leave out --precision {precision}")
        engine = "torch"
    if str(model).endswith(".onnx"):
        return _open_file(Path(str(model)), device, engine)
    folder = model_folder(model)
    name = DEFAULT_NAME if model in (None, DEFAULT_NAME) else folder.name
    if _prefers_onnx(folder, device, engine):
        tagger = _open_onnx(folder / ONNX_FILE, device, name, str(folder))
        # The folder's, which may have been fitted after the export.
        tagger.config = replace(tagger.config, thresholds=read_config(folder).thresholds)
        return tagger
    from audiotag.loading import load_tagger

    loaded = load_tagger(folder, device, precision)
    loaded.name = name
    return loaded


def _open_file(path: Path, device: str, engine: str) -> "OnnxTagger":
    if engine == "torch":
        raise ModelError(f"{path} runs on onnxruntime only; leave out --engine torch")
    return _open_onnx(path, device, path.stem, "MODEL")


def _open_onnx(path: Path, device: str, name: str, source: str) -> "OnnxTagger":
    """The tagger in an ONNX file, which was or can be exported from `source`."""
    if device == "cuda":
        raise ModelError(f"{path} runs on the CPU only; leave out --device cuda or --engine onnx")
    if not path.is_file():
        raise ModelError(
            f"there is no {path}; make it with: audiotag export {source} {path} --waveform"
        )
    from audiotag.onnx_tagger import OnnxTagger

    keep_freed_memory()
    tagger = OnnxTagger.load(path)
    tagger.name = name
    return tagger


def _prefers_onnx(folder: Path, device: str, engine: str) -> bool:
    if engine != "auto":
        return engine == "onnx"
    on_cpu = device == "cpu" or (device == "auto" and not _has_cuda())
    return on_cpu and (folder / ONNX_FILE).is_file()


def _has_cuda() -> bool:
    """Whether a CUDA driver finds a GPU, asked without torch, whose import takes seconds."""
    try:
        driver = ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return False
    count = ctypes.c_int()
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )
