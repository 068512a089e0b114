"""Timing several functions in turn, so that other load on the machine slows all of them alike."""

import math
import time
from collections.abc import Callable, Mapping

Work = Callable[[], object]
WARM_UPS = 2  # calls before anything is timed: caches fill, algorithms are chosen
RUN_SECONDS = 0.2  # shorter calls are repeated for this long in each run, and averaged


def interleave(
    works: Mapping[str, Work],
    runs: int,
    run_seconds: float = RUN_SECONDS,
    wait: Work | None = None,
) -> dict[str, tuple[float, ...]]:
    """Seconds per call of each function, one figure a run; each run times all of them in order.

    Args:
        works: The functions to time, by name.
        runs: How often each is measured.
        run_seconds: How long calls are repeated in one measurement.
        wait: Called before the clock is read; returns when the device has finished its work.
    """
    calls = {name: _calls(work, run_seconds, wait) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            times[name].append(_time(work, calls[name], wait))
    return {name: tuple(values) for name, values in times.items()}


def _calls(work: Work, run_seconds: float, wait: Work | None) -> int:
    """Number of calls in a run, found while warming up."""
    for _ in range(WARM_UPS):
        seconds = _time(work, 1, wait)
    return max(1, math.ceil(run_seconds / max(seconds, 1e-9)))


def _time(work: Work, calls: int, wait: Work | None) -> float:
    if wait:
        wait()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    if wait:
        wait()
    return (time.perf_counter() - start) / calls
