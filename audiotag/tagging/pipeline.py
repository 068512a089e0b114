"""The pipeline: windows of many files, decoded ahead in threads, computed in shared batches.

    files -> feeder thread -> decoder threads -> Lookahead -> batches of equal length -> outputs

The number of waiting windows is limited, and so is memory, for any length and number of files.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audiotag.audio.helper_pipe import until
from audiotag.audio.helper_process import Ending, Warn
from audiotag.audio.in_memory import Input
from audiotag.audio.windows import Window
from audiotag.errors import AudioError

BATCHES_TAKEN = 2  # at once; windows of equal length among them share batches
BATCHES_AHEAD = 2  # decoded and waiting


@dataclass(frozen=True)
class Computed:
    """The model's output for one window.

    Attributes:
        path: The window's file.
        start: Seconds.
        end: Seconds.
        values: The model's output, (K,) float32.
    """

    path: Input
    start: float
    end: float
    values: np.ndarray


@dataclass(frozen=True)
class Ended:
    """The end of a file.

    Attributes:
        path: The file.
        error: Why it could not be decoded to the end; None if it could.
        warning: What is doubtful about it, if anything.
        about: What decoding returned, if it came to the end.
    """

    path: Input
    error: str | None = None
    warning: str | None = None
    about: Any = None


# A function from a file, and a function for warnings, to the file's windows. It may return what
# else there is to know of the recording.
Decode = Callable[[Input, Warn], Iterable[Window]]


@dataclass
class _Slot:
    """A file that is being decoded, with its windows that were not yet taken."""

    path: Input
    windows: deque[Window] = field(default_factory=deque)
    warnings: list[str] = field(default_factory=list)
    about: Any = None
    decoding: Future[None] = field(default_factory=Future)


def compute_windows(
    files: Iterable[Input],
    decode: Decode,
    compute: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
    workers: int,
) -> Iterator[Computed | Ended]:
    """Outputs of all windows of all files, in order, and an `Ended` after each file's last.

    The model never waits for a full batch: when it is free, it takes the windows that are decoded.

    Args:
        files: The files; the iterable is read a little ahead, in a thread.
        decode: Returns the windows of a file, and passes warnings to a function. An AudioError or
            OSError is the file's failure.
        compute: Waveforms (B, T) -> outputs (B, K), B at most `batch_size`.
        batch_size: Windows computed at once.
        workers: Files decoded at once.
    """
    ahead = Lookahead(files, decode, batch_size, workers)
    try:
        while items := ahead.take(BATCHES_TAKEN * batch_size):
            windows = [item for item in items if isinstance(item, tuple)]
            outputs = iter(_in_batches([window for _, window in windows], compute, batch_size))
            for item in items:
                if isinstance(item, Ended):
                    yield item
                else:
                    path, window = item
                    yield Computed(path, window.start, window.end, next(outputs))
    finally:
        ahead.close()


def _in_batches(
    windows: list[Window], compute: Callable[[np.ndarray], np.ndarray], batch_size: int
) -> list[np.ndarray]:
    """Output of each window; those of equal length are computed together."""
    by_length: dict[int, list[int]] = {}
    for i, window in enumerate(windows):
        by_length.setdefault(len(window.samples), []).append(i)
    outputs: dict[int, np.ndarray] = {}
    for same in by_length.values():
        for first in range(0, len(same), batch_size):
            batch = same[first : first + batch_size]
            values = compute(np.stack([windows[i].samples for i in batch]))
            outputs.update(zip(batch, values, strict=True))
    return [outputs[i] for i in range(len(windows))]


class Lookahead:
    """Windows of files, decoded before they are taken, in the order of the files.

    Args:
        files: The files.
        decode: As for `compute_windows`.
        batch_size: Windows computed at once. At most `BATCHES_AHEAD` batches wait, and one more of
            the file whose turn it is, which must never wait for later files.
        workers: Files decoded at once.
    """

    def __init__(
        self,
        files: Iterable[Input],
        decode: Decode,
        batch_size: int,
        workers: int,
    ) -> None:
        self._decode, self._batch_size = decode, batch_size
        self._max_waiting = BATCHES_AHEAD * batch_size
        self._max_slots = self._max_waiting + workers
        self._slots: deque[_Slot] = deque()
        self._waiting = 0  # windows in all slots
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._decoders = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._feeding: Future[None] = Future()
        # A daemon: it may be waiting on standard input when the program ends.
        threading.Thread(target=self._feed, args=(iter(files),), daemon=True).start()

    def take(self, limit: int) -> list[tuple[Input, Window] | Ended]:
        """The items that are ready, at most `limit`; at least one unless all files have ended."""
        items: list[tuple[Input, Window] | Ended] = []
        with self._changed:
            self._changed.wait_for(self._is_ready)
            while len(items) < limit and self._slots and self._is_ready():
                items.append(self._take_one())
            self._changed.notify_all()
        if not items:
            self._feeding.result()  # raises what the search for files raised
        return items

    def close(self) -> None:
        """Stop decoding; returns when no thread decodes any more."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        self._decoders.shutdown(wait=True, cancel_futures=True)

    def _is_ready(self) -> bool:
        if not self._slots:
            return self._feeding.done()
        return bool(self._slots[0].windows) or self._slots[0].decoding.done()

    def _take_one(self) -> tuple[Input, Window] | Ended:
        slot = self._slots[0]
        if slot.windows:
            self._waiting -= 1
            return slot.path, slot.windows.popleft()
        self._slots.popleft()
        warning = "; ".join(slot.warnings) or None
        return Ended(slot.path, _failure(slot), warning, slot.about)

    def _feed(self, files: Iterator[Input]) -> None:
        """Pass each file to the decoders, not too far ahead."""
        try:
            for path in files:
                if not self._start(_Slot(path)):
                    break
            self._feeding.set_result(None)
        except BaseException as error:  # not lost: `take` raises it
            self._feeding.set_exception(error)
        self._notify()

    def _start(self, slot: _Slot) -> bool:
        """Queue a file; False if this was closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed.is_set() or len(self._slots) < self._max_slots
            )
            if self._closed.is_set():
                return False
            slot.decoding = self._decoders.submit(self._fill, slot)
            self._slots.append(slot)
        slot.decoding.add_done_callback(lambda _: self._notify())
        return True

    def _fill(self, slot: _Slot) -> None:
        """Decode a file into its slot."""
        with until(self._closed):
            decoding = Ending(self._decode(slot.path, slot.warnings.append))
            for window in decoding:
                if not self._put(slot, window):
                    return
            slot.about = decoding.result

    def _put(self, slot: _Slot, window: Window) -> bool:
        """Queue a window when there is room; False if this was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed.is_set() or self._has_room(slot))
            if self._closed.is_set():
                return False
            slot.windows.append(window)
            self._waiting += 1
            self._changed.notify_all()
        return True

    def _has_room(self, slot: _Slot) -> bool:
        if slot is self._slots[0] and len(slot.windows) < self._batch_size:
            return True
        return self._waiting < self._max_waiting

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _failure(slot: _Slot) -> str | None:
    """Why a file's decoding failed; None if it did not.

    Raises:
        BaseException: An error that is not due to the file.
    """
    error = slot.decoding.exception()
    if error is None:
        return None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, AudioError):
        return str(error).removeprefix(f"{slot.path}: ")
    raise error
