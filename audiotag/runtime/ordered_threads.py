"""Working ahead: items go through a function in threads, results come in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, TypeVar

ITEMS_AHEAD = 3  # for each worker, begun or done before they are wanted
RESULTS_AHEAD = 64  # of one item; of a recording of a day the rest waits for its turn
POLL = 0.05  # seconds between looks at a worker that is to end
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Job:
    """An item in a worker's hands; its results end with None."""

    results: Queue[Any]
    future: Future[None]


def work_ahead(
    function: Callable[[Item], Iterator[Result]],
    items: Iterable[Item],
    workers: int,
    stopped: threading.Event | None = None,
) -> Generator[Result, None, None]:
    """The results of `function` for each item, in order, in memory that does not grow.

    Raises what `function` raises. Closing the generator ends the workers; it sets `stopped`, which
    tells a `function` that waits.
    """
    pending: deque[_Job] = deque()
    stopped = threading.Event() if stopped is None else stopped
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(_begin(pool, function, item, stopped))
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


def _begin(
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
    """Take what a worker wants to hand on until it ends."""
    job.future.cancel()
    while not job.future.done():
        try:
            job.results.get(timeout=POLL)
        except Empty:
            continue
