"""From what a user calls a model to an engine: torch on any device, or onnxruntime on a CPU.

A CPU that has the model in ONNX never waits for the import of torch.
"""

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.errors import ModelError
from audiotag.models.config import read_config
from audiotag.models.engine import Engine
from audiotag.models.folder import DEFAULT_NAME, ONNX_FILE
from audiotag.runtime.allocator import keep_freed_memory
from audiotag.tagging.locate import model_folder

if TYPE_CHECKING:
    from audiotag.models.onnx.model import OnnxModel

ENGINES = ("auto", "torch", "onnx")
CUDA_DRIVER = "libcuda.so.1"


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
    from audiotag.tagging.tagger import load_tagger

    loaded = load_tagger(folder, device, precision)
    loaded.name = name
    return loaded


def _open_file(path: Path, device: str, engine: str) -> "OnnxModel":
    if engine == "torch":
        raise ModelError(f"{path} runs on onnxruntime only; leave out --engine torch")
    return _open_onnx(path, device, path.stem, "MODEL")


def _open_onnx(path: Path, device: str, name: str, source: str) -> "OnnxModel":
    """The tagger in an ONNX file, which was or can be exported from `source`."""
    if device == "cuda":
        raise ModelError(f"{path} runs on the CPU only; leave out --device cuda or --engine onnx")
    if not path.is_file():
        raise ModelError(
            f"there is no {path}; make it with: audiotag export {source} {path} --waveform"
        )
    from audiotag.models.onnx.model import OnnxModel

    keep_freed_memory()
    tagger = OnnxModel.load(path)
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
