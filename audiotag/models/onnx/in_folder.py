"""The ONNX file of a model folder: with it the model tags without PyTorch, and starts at once."""

from pathlib import Path

from audiotag.errors import ModelError
from audiotag.models.folder import ONNX_FILE
from audiotag.models.model import Model
from audiotag.models.onnx.export import Export, export
from audiotag.models.onnx.model import OnnxModel

MOST = 0.005  # change of a score by int8, which nobody sees in what is shown


def write_int8(folder: Path, name: str) -> Export:
    """Write `model.onnx` with 8-bit weights, if the scores of the sample clips stay what they were.

    Args:
        folder: A model folder; a `model.onnx` that is there is replaced.
        name: The model's name in messages.

    Raises:
        ModelError: If int8 changes a score by more than `MOST`; says by how much.
        OutputError: If it cannot be written.
    """
    try:
        return export(Model.load(folder, name), folder / ONNX_FILE, int8=True, most=MOST)
    except ModelError as error:
        raise ModelError(f"{name} stays as it is: {error}") from error


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
