"""The phases of a cold start: from the start of a process to the scores of the first recording.

This is a program with the arguments of `main`; it prints seconds as JSON. Each module is imported
in the phase that it belongs to.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path

WINDOW = 10.0  # s
# The modules of other packages that each engine imports.
RUNTIMES = {
    "onnx": ("onnxruntime",),
    "yamnet": ("onnxruntime",),
    "torch": ("torch", "torchaudio", "torchvision", "timm"),
}


class Clock:
    """Seconds of each phase, in order."""

    def __init__(self, start: float) -> None:
        self.seconds: dict[str, float] = {}
        self._last = start

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.monotonic()
        self.seconds[phase] = now - self._last
        self._last = now


def main(
    started: str, command_line: str, model: str, engine_name: str, recording: str, windows: str
) -> None:
    """Print `{"phases": {name: seconds}, "windows": seconds}`.

    Args:
        started: When the process was started, in seconds of the monotonic clock.
        command_line: Modules of the command, joined by commas.
        model: A model, as for `open_engine`; for "yamnet", the ONNX file.
        engine_name: "onnx", "torch" or "yamnet".
        recording: The audio file to score first.
        windows: Number of windows of 10 s to score afterwards, in batches as `tag` does.
    """
    clock = Clock(float(started))
    clock.lap("Python")
    for name in command_line.split(","):
        import_module(name)
    from audiotag.audio.helpers import HELPERS

    HELPERS.start(1)  # as `audiotag tag` does
    clock.lap("command line")
    for name in RUNTIMES[engine_name]:
        import_module(name)
    clock.lap("runtime")
    engine = _open(model, engine_name)
    clock.lap("model")
    from audiotag.audio.streams import stream
    from audiotag.audio.windows import windows as cut

    rate = engine.sample_rate
    (window, *_) = cut(stream(recording, rate), rate, WINDOW)
    clock.lap("decoding")
    engine.score_windows(window.samples[None])
    clock.lap("scores")
    print(json.dumps({"phases": clock.seconds, "windows": _score(engine, window, int(windows))}))


def _open(model: str, engine_name: str):
    if engine_name == "yamnet":
        from audiotag.benchmarks.yamnet_onnx import Yamnet

        return Yamnet(Path(model))
    from audiotag.runtime.allocator import keep_freed_memory
    from audiotag.tagging.open import open_engine

    keep_freed_memory()  # as `audiotag tag` does
    return open_engine(model, "cpu", engine_name)


def _score(engine, window, count: int) -> float:
    """Seconds that the model takes for `count` windows, in full batches and a last one."""
    import numpy as np

    from audiotag.tagging.tag import BATCH_SIZES

    size = BATCH_SIZES["cpu"]
    batch = np.repeat(window.samples[None], size, axis=0)
    sizes = [size] * (count // size) + ([count % size] if count % size else [])
    if sizes:
        engine.score_windows(batch)
    start = time.monotonic()
    for windows in sizes:
        engine.score_windows(batch[:windows])
    return time.monotonic() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
