"""Put a trained run into the package as the embedded default: weights in half precision, and the
ONNX file that tags without PyTorch.

    python recipes/default/embed.py RUN
"""

import shutil
import sys
from pathlib import Path

import torch

from audiotag.models.folder import ONNX_FILE
from audiotag.models.model import Model
from audiotag.models.onnx.export import export
from audiotag.tagging.locate import model_folder


def embed(run: Path) -> Path:
    """Write the model of a run folder, and the figures of calibrate.py, into the package. Its model
    card is written by hand."""
    folder = model_folder(None)
    Model.load(run).save(folder, torch.float16)
    export(Model.load(folder), folder / ONNX_FILE)
    shutil.copy(run / "calibration.json", folder)
    return folder


if __name__ == "__main__":
    print(embed(Path(sys.argv[1])))
