"""The pipeline: order, batches, bounds, failures."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from audiotag.audio.windows import Window
from audiotag.errors import AudioError
from audiotag.tagging.pipeline import BATCHES_AHEAD, BATCHES_TAKEN, Computed, Ended, compute_windows

BATCH = 4


def window(number: int, length: int = 3) -> Window:
    return Window(float(number), number + 1.0, np.full(length, number, np.float32))


def mean(batch: np.ndarray) -> np.ndarray:
    return batch.mean(axis=1, keepdims=True)


def run(files, decode, compute=mean, workers=3) -> list[Computed | Ended]:
    return list(compute_windows(map(Path, files), decode, compute, BATCH, workers))


def test_outputs_come_in_order_whatever_the_lengths_and_speeds():
    counts = {f"{i}": (i * 7) % 5 for i in range(40)}

    def decode(path, warn):
        time.sleep(0.003 * (int(path.name) % 3 == 0))
        for k in range(counts[path.name]):
            yield window(k, length=1 + (int(path.name) + k) % 3)

    expected = []
    for name, count in counts.items():
        expected += [(name, float(k)) for k in range(count)] + [(name, None)]
    events = run(counts, decode)
    got = [(e.path.name, float(e.values[0]) if isinstance(e, Computed) else None) for e in events]
    assert got == expected


def test_windows_of_several_files_share_batches_of_one_length():
    shapes = []
    started = threading.Barrier(3)

    def decode(path, warn):
        started.wait(timeout=10)  # three files at once, so that there is something to share
        return [window(0, length=5 if path.name == "c" else 3)]

    def compute(batch):
        shapes.append(batch.shape)
        return mean(batch)

    def slow_first(path, warn):
        yield from decode(path, warn)
        if path.name == "a":
            time.sleep(0.05)

    run("abc", slow_first, compute)
    assert all(len(shape) == 2 and shape[0] <= BATCH for shape in shapes)
    assert sum(rows for rows, _ in shapes) == 3
    assert {length for _, length in shapes} == {3, 5}


@pytest.mark.parametrize("layout", [(1, 2000), (40, 50), (2000, 1)], ids=["long", "some", "many"])
def test_what_waits_is_bounded(layout):
    files, each = layout
    workers = 3
    lock, decoded, taken, most = threading.Lock(), 0, 0, 0

    def decode(path, warn):
        nonlocal decoded, most
        for k in range(each):
            with lock:
                decoded += 1
                most = max(most, decoded - taken)
            yield window(k)

    def compute(batch):
        nonlocal taken
        with lock:
            taken += len(batch)
        time.sleep(0.0005)
        return mean(batch)

    run((str(i) for i in range(files)), decode, compute, workers)
    assert taken == files * each
    # What waits and what has been taken, a batch kept for the first file, one window in each hand.
    assert most <= (BATCHES_AHEAD + BATCHES_TAKEN + 1) * BATCH + workers


def test_names_are_read_a_little_ahead_only():
    read = 0

    def names():
        nonlocal read
        for i in range(10_000):
            read += 1
            yield Path(str(i))

    events = compute_windows(names(), lambda path, warn: [window(0)], mean, BATCH, 2)
    next(events)
    assert read < 100
    events.close()


def test_failure_ends_its_file_only():
    def decode(path, warn):
        yield window(0)
        if path.name == "bad":
            raise AudioError("bad: is torn")
        if path.name == "gone":
            raise FileNotFoundError(2, "No such file")
        yield window(1)

    events = run(["a", "bad", "gone", "b"], decode)
    ends = [event for event in events if isinstance(event, Ended)]
    assert [(end.path.name, end.error) for end in ends] == [
        ("a", None),
        ("bad", "is torn"),
        ("gone", "No such file"),
        ("b", None),
    ]


def test_bugs_are_not_hidden():
    def decode(path, warn):
        raise ZeroDivisionError("a bug")

    def names():
        yield Path("a")
        raise KeyError("another")

    with pytest.raises(ZeroDivisionError):
        run(["a"], decode)
    with pytest.raises(KeyError):
        list(compute_windows(names(), lambda path, warn: [window(0)], mean, BATCH, 2))


def test_results_do_not_wait_for_names_to_come():
    more = threading.Event()

    def names():
        yield Path("a")
        assert more.wait(timeout=30)
        yield Path("b")

    events = compute_windows(names(), lambda path, warn: [window(0)], mean, BATCH, 2)
    assert next(events).path.name == "a"
    assert isinstance(next(events), Ended)
    more.set()
    assert [event.path.name for event in events] == ["b", "b"]


def test_leaving_early_stops_the_threads():
    def decode(path, warn):
        k = 0
        while True:
            yield window(k := k + 1)

    events = compute_windows((Path(str(i)) for i in range(9)), decode, mean, BATCH, 3)
    next(events)
    events.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]
