"""A source's clock, with arrivals that are made: when is a sound told to have been?"""

import time
from datetime import datetime, timedelta

import pytest

from audiotag.live.clock import SourceClock


def told(clock: SourceClock, position: float, began: float) -> float:
    """How much later than it was a place is told to be, for sound that began at `began`."""
    real = datetime.now().astimezone() - timedelta(seconds=time.monotonic() - (began + position))
    return (clock.time(position) - real).total_seconds()


def test_sound_that_comes_as_it_sounds_is_told_by_its_earliest_arrival():
    began, clock = time.monotonic(), SourceClock(is_live=True)
    for number in range(1, 100):
        late = 0.3 if number % 7 else 0.05
        assert clock.arrived(number / 10, began + number / 10 + late) == 0.0
    assert told(clock, 5.0, began) == pytest.approx(0.05, abs=0.01)


def test_a_burst_at_the_beginning_was_sound_of_before():
    """A radio sends what it has in store at once: 8 s, of which the last sounded just now."""
    opened, clock = time.monotonic(), SourceClock(is_live=True)
    for number in range(1, 81):
        clock.arrived(number / 10, opened)
    for number in range(81, 200):
        clock.arrived(number / 10, opened + (number - 80) / 10)
    assert told(clock, 8.0, opened - 8.0) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("drift", [-3e-4, 3e-4])
def test_drift_of_a_day_is_absorbed(drift):
    """26 s a day; the source's sound of 12 hours, a block every two seconds."""
    began, clock = time.monotonic(), SourceClock(is_live=True)
    for number in range(1, 21_600):
        position = number * 2.0
        assert clock.arrived(position, began + position * (1 + drift)) == 0.0
    real = began + position * drift
    assert told(clock, position, real) == pytest.approx(0.0, abs=0.1)


def test_a_long_pause_is_said_and_what_follows_sounds_now():
    began, clock = time.monotonic(), SourceClock(is_live=True)
    for number in range(1, 100):
        clock.arrived(number / 10, began + number / 10)
    assert clock.arrived(10.0, began + 40.0) == pytest.approx(30.0)
    assert clock.arrived(10.1, began + 40.1) == 0.0
    assert told(clock, 10.0, began + 30.0) == pytest.approx(0.0, abs=0.01)


def test_a_pipe_that_is_read_faster_than_it_sounds_is_played_from_now_on():
    began, clock = time.monotonic(), SourceClock(is_live=False)
    for number in range(1, 3601):
        clock.arrived(float(number), began + 1.0 + number / 1000)
    # The first second arrived at 1.001 s, so the sound began at 0.001 s.
    assert told(clock, 0.0, began) == pytest.approx(0.0, abs=0.01)
    assert told(clock, 3600.0, began) == pytest.approx(0.0, abs=0.01)
