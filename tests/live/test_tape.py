"""The last seconds of a source."""

import numpy as np

from audiotag.live.tape import Tape


def test_what_is_kept_can_be_read_and_what_is_older_is_gone():
    tape, sound = Tape(sample_rate=100, seconds=3.0), np.arange(1000, dtype=np.float32)
    for begin in range(0, 1000, 70):
        tape.write(sound[begin : begin + 70])
    first, samples = tape.read(650, 800)
    assert first <= 700 and first + len(samples) == 800
    assert np.array_equal(samples, sound[first:800])
    first, samples = tape.read(800, 5000)
    assert (first, samples.tolist()) == (800, sound[800:].tolist())
    first, samples = tape.read(0, 10)
    assert first > 600 and not len(samples)


def test_it_holds_no_more_than_it_must():
    tape = Tape(sample_rate=100, seconds=1.0)
    for _ in range(1000):
        tape.write(np.zeros(10, np.float32))
    assert len(tape.read(0, 10**9)[1]) <= 110
