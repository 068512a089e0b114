"""Timing several things in turn, so that what else the machine does slows all of them alike."""

import math
import time
from collections.abc import Callable, Mapping

Work = Callable[[], object]
WARM_UPS = 2  # calls before anything is timed: caches fill, algorithms are chosen
RUN_SECONDS = 0.2  # a shorter call is repeated up to this in each run, and the mean counts


def interleave(
    works: Mapping[str, Work],
    runs: int,
    run_seconds: float = RUN_SECONDS,
    wait: Work | None = None,
) -> dict[str, tuple[float, ...]]:
    """Seconds a call of each work takes, once for each run; a run takes all works in order.

    Args:
        works: What to time, by name.
        runs: Times that each is measured.
        run_seconds: Time that calls are repeated for in one measurement.
        wait: Called before a clock is read; returns when the device has done its work.
    """
    calls = {name: _calls(work, run_seconds, wait) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            times[name].append(_time(work, calls[name], wait))
    return {name: tuple(values) for name, values in times.items()}


def _calls(work: Work, run_seconds: float, wait: Work | None) -> int:
    """Calls that a run takes, found while warming up."""
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
