"""Rules, quiet hours, and how often something is done."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from audiotag.label_set import Labels
from audiotag.live.limits import Limits, QuietHours
from audiotag.live.rules import Rule, Rules

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Dog>0.7", Rule("Dog", 0.7)),
        (" Dog > 1 ", Rule("Dog", 1.0)),
        ("Smoke detector, smoke alarm", Rule("Smoke detector, smoke alarm")),
    ],
)
def test_a_rule_is_read(text, rule):
    assert Rule.parse(text) == rule


@pytest.mark.parametrize("text", ["Dog>", "Dog>loud", "Dog>0", "Dog>1.1", ">0.5", "Dog>nan"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match="is no rule; write one as 'Dog>0.7'"):
        Rule.parse(text)


def test_rules_mean_labels_below_theirs_and_say_where_events_begin():
    labels = Labels.audioset()
    rules = Rules([Rule("Dog", 0.7), Rule("Rain")], labels)
    assert rules.mean("Bark") and rules.mean("Rain") and not rules.mean("Speech")
    begin = rules.begin(np.full(len(labels), 0.2))
    assert begin[labels.names.index("Bark")] == 0.7
    assert begin[labels.names.index("Rain")] == begin[labels.names.index("Speech")] == 0.2
    assert Rules([], labels).mean("Speech")


def test_a_rule_for_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match="Dgo"):
        Rules([Rule("Dgo")], Labels.audioset())


@pytest.mark.parametrize(
    ("hours", "time", "is_quiet"),
    [
        ("22:00-06:30", "21:59", False),
        ("22:00-06:30", "22:00", True),
        ("22:00-06:30", "06:29", True),
        ("22:00-06:30", "06:30", False),
        ("9:00-17:00", "12:00", True),
        ("9:00-17:00", "8:59", False),
    ],
)
def test_quiet_hours_go_over_midnight(hours, time, is_quiet):
    moment = datetime.strptime(f"2026-05-01 {time}", "%Y-%m-%d %H:%M").astimezone()
    assert QuietHours.parse(hours).include(moment) is is_quiet
    assert Limits(quiet=QuietHours.parse(hours)).allow("mic", "Dog", moment) is not is_quiet


@pytest.mark.parametrize("text", ["22-6", "25:00-06:00", "22:00", "22:60-6:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="is not of the form 22:00-06:30"):
        QuietHours.parse(text)


def test_a_label_of_a_source_counts_once_in_a_while():
    limits = Limits(every=60.0)
    after = [timedelta(seconds=seconds) for seconds in (0, 30, 61)]
    assert [limits.allow("mic", "Dog", NOON + delay) for delay in after] == [True, False, True]
    assert limits.allow("mic", "Cat", NOON) and limits.allow("camera", "Dog", NOON)


def test_a_clock_that_is_set_back_silences_nothing():
    limits = Limits(every=60.0)
    assert limits.allow("mic", "Dog", NOON)
    assert limits.allow("mic", "Dog", NOON - timedelta(hours=1))
