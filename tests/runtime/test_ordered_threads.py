"""A function over items in threads: the order of results, how far ahead they are made, errors."""

import threading
import time

import pytest

from audiotag.runtime.ordered_threads import ITEMS_AHEAD, RESULTS_AHEAD, work_ahead


def test_results_come_in_order_whoever_is_first():
    def work(number):
        time.sleep(0.002 * (number % 5))
        yield from ((number, piece) for piece in range(number % 4))

    found = list(work_ahead(work, range(40), workers=8))
    assert found == [(number, piece) for number in range(40) for piece in range(number % 4)]


def test_no_more_is_done_ahead_than_agreed():
    done = [0] * 100

    def work(number):
        for _ in range(1000):
            done[number] += 1
            yield number

    results = work_ahead(work, iter(range(100)), workers=2)
    next(results)
    time.sleep(0.1)
    assert max(done) <= RESULTS_AHEAD + 2  # one is being handed over, one was taken
    assert sum(count > 0 for count in done) <= 2 * ITEMS_AHEAD + 1
    before = threading.active_count()
    results.close()
    assert threading.active_count() == before - 2


def test_what_goes_wrong_in_a_thread_is_raised_in_its_turn():
    def work(number):
        yield number
        if number == 3:
            raise KeyError("three")

    results, taken = work_ahead(work, range(100), workers=4), []
    with pytest.raises(KeyError, match="three"):
        for result in results:
            taken.append(result)
    assert taken == [0, 1, 2, 3]
