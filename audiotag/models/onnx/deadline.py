"""A deadline for what onnxruntime computes: a graph of a few operators can compute for days."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import onnxruntime

SECONDS = 300.0  # for a window; the largest published model takes 2 s for one of 10 s on one core
TICK = 1.0  # s between looks at what has passed its deadline


class Deadline:
    """Ends runs of a model that have passed their deadline. It takes a thread, from the first run
    on."""

    def __init__(self) -> None:
        self._runs: dict[onnxruntime.RunOptions, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, run: onnxruntime.RunOptions, windows: int) -> Iterator[None]:
        """A context in which a run may take as long as so many windows do. After that, it is told
        to end, and raises onnxruntime's error."""
        with self._lock:
            self._runs[run] = time.monotonic() + windows * SECONDS
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._runs[run]

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            with self._lock:
                for run, end in self._runs.items():
                    run.terminate |= now > end


DEADLINE = Deadline()
