"""Put a trained run into the package as the embedded default, in half precision.

    python recipes/default/embed.py RUN
"""

import shutil
import sys
from pathlib import Path

import torch

from audiotag.loading import model_folder
from audiotag.tagger import Tagger


def embed(run: Path) -> Path:
    """Write the model of a run folder and its metrics into the package; its card is by hand."""
    folder = model_folder(None)
    Tagger.load(run).save(folder, torch.float16)
    shutil.copy(run / "metrics.jsonl", folder)
    return folder


if __name__ == "__main__":
    print(embed(Path(sys.argv[1])))
