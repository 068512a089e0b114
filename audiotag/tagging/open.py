"""From what a user names to an engine: torch on any device, or onnxruntime on a CPU.

If the model has an ONNX file and runs on the CPU, torch, which is slow to import, is not needed.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from audiotag.errors import ModelError
from audiotag.label_set import Labels
from audiotag.models.config import read_config
from audiotag.models.engine import Engine
from audiotag.models.folder import CONFIG_FILE, ONNX_FILE
from audiotag.models.transformers.folder import USES, is_classifier, labels_of, read_values
from audiotag.runtime.devices import is_cpu
from audiotag.tagging.locate import model_folder, model_name

if TYPE_CHECKING:
    from audiotag.tagging.classifier import ClassifierTagger
    from audiotag.tagging.onnx_tagger import OnnxTagger

ENGINES = ("auto", "torch", "onnx")


def open_engine(
    model: str | Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    precision: str = "fp32",
    name: str | None = None,
) -> Engine:
    """A model, opened on the engine that suits it.

    Args:
        model: Model folder, `.onnx` file, Hub id (`owner/name[@revision]`), name of a published
            model, or "default" or nothing for the embedded default.
        device: "auto" (CUDA if there is a GPU), "cpu" or "cuda".
        engine: "torch", "onnx", or "auto": onnx on a CPU if the model has an ONNX file, as it
            starts sooner and computes as fast.
        precision: "fp32", or, only with torch, "bf16".
        name: Its name in messages; "default", or the folder or file, unless given.

    Raises:
        ModelError: If there is no such model, or it does not support this device, engine or
            precision.
        HubError: If a Hub model cannot be downloaded and is not in the cache.
        ModuleNotFoundError: If what it is computed with is not installed.
    """
    if engine not in ENGINES:
        raise ModelError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if precision != "fp32":
        if engine == "onnx" or str(model).endswith(".onnx"):
            raise ModelError(f"onnxruntime computes in fp32; leave out --precision {precision}")
        engine = "torch"
    if str(model).endswith(".onnx"):
        return _open_file(Path(str(model)), device, engine, name)
    folder = model_folder(model)
    name = name or model_name(model, folder)
    if is_classifier(folder):
        return open_classifier(folder, device, engine, precision, name)
    if _prefers_onnx(folder, device, engine):
        opened = _open_onnx(folder / ONNX_FILE, device, name, str(folder))
        # Thresholds and calibration of the folder, which may have been fitted after the export.
        fitted = read_config(folder)
        opened.config = replace(
            opened.config, thresholds=fitted.thresholds, calibration=fitted.calibration
        )
        return opened
    from audiotag.tagging.tagger import open_tagger

    return open_tagger(folder, device, precision, name=name)


def read_labels(model: str | Path | None = None) -> Labels:
    """The classes of a model, without opening its engine; arguments and errors as `open_engine`."""
    if str(model).endswith(".onnx"):
        return _open_file(Path(str(model)), "cpu", "onnx", None).labels
    folder = model_folder(model)
    if is_classifier(folder):
        return labels_of(read_values(folder / CONFIG_FILE))
    return read_config(folder).labels


def open_classifier(
    folder: Path, device: str, engine: str, precision: str, name: str
) -> "ClassifierTagger":
    """The classifier of transformers in a folder; arguments and errors as `open_engine`."""
    if engine == "onnx":
        raise ModelError(f"{name} {USES}, in PyTorch; leave out --engine onnx")
    from audiotag.tagging.classifier import ClassifierTagger

    return ClassifierTagger.load(folder, device, precision, name)


def _open_file(path: Path, device: str, engine: str, name: str | None) -> "OnnxTagger":
    if engine == "torch":
        raise ModelError(f"{path} runs on onnxruntime only; leave out --engine torch")
    return _open_onnx(path, device, name, "MODEL")


def _open_onnx(path: Path, device: str, name: str | None, source: str) -> "OnnxTagger":
    """The model in an ONNX file; `source` is the model to export it from, for messages."""
    if device == "cuda":
        raise ModelError(f"{path} runs on the CPU only; leave out --device cuda or --engine onnx")
    if not path.is_file():
        raise ModelError(
            f"there is no {path}; make it with: audiotag export {source} {path} --waveform"
        )
    from audiotag.tagging.onnx_tagger import OnnxTagger

    model = OnnxTagger.load(path, name=name)
    model.weights = path
    return model


def _prefers_onnx(folder: Path, device: str, engine: str) -> bool:
    if engine != "auto":
        return engine == "onnx"
    return is_cpu(device) and (folder / ONNX_FILE).is_file()
