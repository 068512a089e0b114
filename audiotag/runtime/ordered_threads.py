"""A function applied to many items in threads, ahead of use; results come in the items' order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, TypeVar

ITEMS_AHEAD = 3  # for each worker: items started before their results are needed
RESULTS_AHEAD = 64  # of one item; then its worker waits, as a long recording may not fit in memory
POLL = 0.05  # seconds between looks at a worker that is to stop
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Job:
    """The work on one item; its queue of results ends with None."""

    results: Queue[Any]
    future: Future[None]


def work_ahead(
    function: Callable[[Item], Iterator[Result]],
    items: Iterable[Item],
    workers: int,
    stopped: threading.Event | None = None,
) -> Generator[Result, None, None]:
    """The results of `function` for each item, in the items' order, in limited memory.

    Raises what `function` raises. Closing the generator sets `stopped` and stops the workers; a
    `function` that waits for something should watch `stopped`.
    """
    pending: deque[_Job] = deque()
    stopped = threading.Event() if stopped is None else stopped
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(_start(pool, function, item, stopped))
                if len(pending) > workers * ITEMS_AHEAD:
                    yield from _results(pending[0])
                    pending.popleft()
            while pending:
                yield from _results(pending[0])
                pending.popleft()
        finally:
            stopped.set()
            for job in pending:
                _drop(job)


def _start(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Iterator[Any]],
    item: Item,
    stopped: threading.Event,
) -> _Job:
    results: Queue[Any] = Queue(RESULTS_AHEAD)

    def work() -> None:
        try:
            for result in function(item):
                results.put(result)
                if stopped.is_set():
                    break
        finally:
            results.put(None)

    return _Job(results, pool.submit(work))


def _results(job: _Job) -> Iterator[Any]:
    while (result := job.results.get()) is not None:
        yield result
    job.future.result()  # raises what the function raised


def _drop(job: _Job) -> None:
    """Cancel a job, or take its results until it ends: its worker may be waiting for room."""
    job.future.cancel()
    while not job.future.done():
        try:
            job.results.get(timeout=POLL)
        except Empty:
            continue
