"""`load_tagger`: a model to use from Python, in torch where that is installed."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from audiotag.models.folder import DEFAULT_NAME, ONNX_FILE
from audiotag.models.transformers.folder import is_classifier
from audiotag.runtime.missing import explain_missing
from audiotag.tagging.locate import model_folder, model_name
from audiotag.tagging.open import open_classifier, open_engine

if TYPE_CHECKING:
    from audiotag.tagging.tagger import Tagger


def load_tagger(
    model: str | Path | None = None,
    device: str = "auto",
    precision: str = "fp32",
    folded: bool = True,
    name: str | None = None,
) -> "Tagger":
    """A tagger ready to use: with folded DCLS kernels, in evaluation mode, on its device.

    Without PyTorch installed it is an `OnnxTagger`, if the model has a `model.onnx`; of a
    classifier of transformers it is a `ClassifierTagger`.

    Args:
        model: Model folder, Hub id (`owner/name[@revision]`), name of a published model, or
            "default" or nothing for the embedded default.
        device: "auto" (CUDA if there is a GPU), "cpu" or "cuda".
        precision: Number format of matrix products: "fp32" or "bf16".
        folded: Whether to fold it: this is faster, but changes the outputs of inner modules.
        name: Its name in messages; "default", or the folder, unless given.

    Raises:
        ModelError: If there is no such model, device or precision, or the folder does not hold a
            model.
        HubError: If a Hub model cannot be downloaded and is not in the cache.
        ModuleNotFoundError: If PyTorch is not installed, and the model needs it.

    Example:
        >>> import audiotag
        >>> tagger = audiotag.load_tagger(device="cpu")
        >>> tagger.name, tagger.is_gpu, tagger.training
        ('default', False, False)
    """
    try:
        import_module("torch")  # first: the other imports of a `Tagger` are slow
        from audiotag.tagging.tagger import open_tagger
    except ModuleNotFoundError as error:
        message = explain_missing(error, f"load_tagger({model or DEFAULT_NAME!r})")
        if message is None:
            raise
        if not (model_folder(model) / ONNX_FILE).is_file():
            raise ModuleNotFoundError(message, name=error.name) from error
        # It lacks attributes of `Tagger`; using one raises an error that says so.
        return cast("Tagger", open_engine(model, device, "onnx", precision, name))
    folder = model_folder(model)
    called = name or model_name(model, folder)
    if is_classifier(folder):
        # It has no layers of ours: what it lacks is an AttributeError.
        return cast("Tagger", open_classifier(folder, device, "torch", precision, called))
    return open_tagger(folder, device, precision, folded, called)
