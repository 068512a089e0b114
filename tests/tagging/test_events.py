"""Events from scores of windows: what is expected follows from how the scores are made."""

import json
from dataclasses import replace

import numpy as np
import pytest

from audiotag.label_set import Labels
from audiotag.tagging.events import HEARD_AFTER, LEAST, EventFinder, EventOptions
from audiotag.tagging.results import Event

WINDOW, HOP, THRESHOLD = 2.0, 0.5, 0.4
DURATION = 60.0
LABELS = Labels(["Dog", "Rain", "Speech"])
USUAL = EventOptions()


def scores_of(sounds: list[tuple[float, float]]) -> np.ndarray:
    """Scores (windows,) that rise with the seconds of a sound in a window: a quarter of `THRESHOLD`
    for `HEARD_AFTER`, and more than `THRESHOLD` for two seconds."""
    starts = np.arange(HOP - WINDOW, DURATION, HOP)
    heard = np.zeros(len(starts))
    for begin, end in sounds:
        inside = np.minimum(starts + WINDOW, end) - np.maximum(starts, begin)
        heard = np.maximum(heard, inside)
    return heard * THRESHOLD / 4 / HEARD_AFTER


def found(
    scores: np.ndarray, options: EventOptions = USUAL, duration: float = DURATION, **how
) -> tuple[Event, ...]:
    """Events of the first class; the others are never heard."""
    finder = EventFinder(LABELS, np.full(3, THRESHOLD), options, WINDOW, HOP, **how)
    for number, row in enumerate(scores if scores.ndim == 2 else scores[:, None] * [1, 0, 0]):
        start = HOP - WINDOW + number * HOP
        finder.add(row, max(start, 0.0), min(start + WINDOW, duration))
    return finder.events(duration)


@pytest.mark.parametrize("sound", [(10.0, 15.0), (10.2, 14.8), (0.0, 4.0), (55.3, 60.0)])
def test_an_event_has_the_times_of_its_sound(sound):
    (event,) = found(scores_of([sound]))
    assert (event.start, event.end) == pytest.approx(sound, abs=1e-6)
    assert event.label == "Dog"


def test_its_scores_are_those_of_its_windows():
    scores = np.zeros(120)
    scores[20:25] = 0.2, 0.5, 0.8, 0.5, 0.2
    (event,) = found(scores)
    assert event.score == 0.8
    assert event.mean == pytest.approx(0.44)
    assert event.peak == HOP - WINDOW + 22 * HOP + WINDOW / 2


def test_a_score_that_never_reaches_the_threshold_is_no_event():
    scores = np.zeros(120)
    scores[20:40] = THRESHOLD - 0.01
    assert found(scores) == ()


def test_a_dip_above_the_lower_threshold_is_part_of_an_event_and_one_below_it_is_not():
    scores = np.zeros(120)
    scores[20:60], scores[35:45] = 0.8, 0.15
    options = EventOptions(go_on=0.25, bridged=0.0)
    assert len(found(scores, options)) == 1
    assert len(found(scores, replace(options, go_on=0.5))) == 2


def test_events_are_joined_over_a_short_gap_only():
    sounds = [(10.0, 14.0), (17.0, 20.0), (30.0, 34.0)]
    scores = scores_of(sounds)
    apart = found(scores, EventOptions(bridged=2.9))
    times = [time for x in apart for time in (x.start, x.end)]
    assert times == pytest.approx([time for sound in sounds for time in sound], abs=1e-6)
    first, second = found(scores, EventOptions(bridged=3.1))
    assert (first.start, first.end) == pytest.approx((10.0, 20.0), abs=1e-6)
    assert second == apart[-1]


def test_short_events_are_left_out_if_asked_for():
    scores = scores_of([(10.0, 12.0), (30.0, 34.0)])
    assert len(found(scores, EventOptions(shortest=0.0))) == 2
    assert [round(x.start) for x in found(scores, EventOptions(shortest=3.0))] == [30]


def test_a_sound_in_a_single_window_has_the_least_length():
    scores = np.zeros(120)
    scores[20] = 0.9
    (event,) = found(scores)
    assert event.end - event.start >= LEAST


def test_windows_over_an_end_of_the_recording_begin_no_event_but_make_one_longer():
    scores = np.zeros(120)
    scores[0] = 0.9  # half a second of the recording
    assert found(scores) == ()
    scores[1:4] = 0.9
    (event,) = found(scores)
    assert event.start == 0.0


def test_a_recording_shorter_than_a_window_has_events():
    (event,) = found(np.full(6, 0.8), duration=1.2)
    assert (event.start, event.end) == (0.0, 1.2)


def test_only_the_best_classes_of_a_window_begin():
    scores = np.tile([0.9, 0.8, 0.0], (20, 1))
    assert {x.label for x in found(scores)} == {"Dog", "Rain"}
    assert {x.label for x in found(scores, at_once=1)} == {"Dog"}
    assert {x.label for x in found(scores, among=np.array([1]))} == {"Rain"}


@pytest.mark.parametrize("name,value", [("go_on", 0.0), ("bridged", -1), ("shortest", np.inf)])
def test_options_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        EventOptions(**{name: value})


def test_an_event_as_json_is_rounded():
    event = Event("Dog", None, 1.00049, 2.0, 0.1234567, 1.5, 0.1)
    assert json.loads(json.dumps(event.to_dict())) == {
        "label": "Dog",
        "mid": None,
        "start": 1.0,
        "end": 2.0,
        "peak": 1.5,
        "score": 0.12346,
        "mean": 0.1,
    }


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bridged", [0.0, 1.0, 5.0])
def test_events_of_sound_that_goes_on_are_those_of_the_whole(seed, bridged):
    """What is told while it goes on, of random scores, is what is found at the end."""
    random, options = np.random.default_rng(seed), EventOptions(bridged=bridged)
    scores = np.clip(np.cumsum(random.normal(0, 0.15, (120, 3)), axis=0), 0, 1)
    scores[:4] = scores[-4:] = 0  # windows that go over an end begin no event
    live = EventFinder(LABELS, np.full(3, THRESHOLD), options, WINDOW, HOP)
    begun, ended, open_labels = [], [], set()
    for number, row in enumerate(scores):
        start = HOP - WINDOW + number * HOP
        live.add(row, max(start, 0.0), min(start + WINDOW, DURATION))
        for event in live.begun():
            assert event.label not in open_labels  # it has ended before it begins again
            open_labels.add(event.label)
            begun.append((event.label, event.start))
        for event in live.ended():
            open_labels.remove(event.label)
            ended.append(event.within(DURATION))
    ended += [event for event in live.events(DURATION) if event.label in open_labels]
    whole = found(scores, options)
    assert sorted(ended, key=lambda x: (x.start, -x.score)) == list(whole)
    told = sorted((event.label, event.start) for event in ended)
    assert [label for label, _ in sorted(begun)] == [label for label, _ in told]
    # The beginning of one that is very short may move when its end is known.
    starts = [[start for _, start in sorted(events)] for events in (begun, told)]
    assert starts[0] == pytest.approx(starts[1], abs=LEAST)


def test_an_event_is_told_with_its_first_window_above_the_threshold():
    scores = np.zeros((120, 3))
    scores[20:24, 0] = 0.2, 0.5, 0.8, 0.2
    finder = EventFinder(LABELS, np.full(3, THRESHOLD), USUAL, WINDOW, HOP)
    told = {}
    for number, row in enumerate(scores):
        start = HOP - WINDOW + number * HOP
        finder.add(row, max(start, 0.0), start + WINDOW)
        told |= {("begin", x.label): number for x in finder.begun()}
        told |= {("end", x.label): number for x in finder.ended()}
    assert told["begin", "Dog"] == 21
    assert 24 <= told["end", "Dog"] <= 28
