"""The ONNX file of a model folder: with it the model tags without PyTorch, and starts at once."""

from pathlib import Path

from audiotag.errors import ModelError
from audiotag.models.folder import ONNX_FILE
from audiotag.models.model import Model
from audiotag.models.onnx.export import export
from audiotag.models.onnx.model import OnnxModel


def write_onnx(folder: Path) -> str | None:
    """Write `model.onnx` beside a model's weights; its scores are compared with the model's first.

    Returns:
        Why it was not written, for instance because a layer cannot be exported; None if it was.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / ONNX_FILE
    try:
        export(Model.load(folder), path)
        OnnxModel.load(path)
    except ModelError as error:
        path.unlink(missing_ok=True)
        return str(error)
    return None
