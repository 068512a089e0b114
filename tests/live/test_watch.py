"""Which events are acted on, and when."""

import numpy as np
import pytest

from audiotag.live.limits import Limits
from audiotag.live.rules import Rule
from audiotag.live.sources import Arrays
from audiotag.live.watch import Doing, level, watch
from audiotag.tagging.tag import TagOptions
from tests.live.conftest import RATE

ALL = TagOptions(events=True, top_k=0)


class Noted:
    """An action that notes its events."""

    name = "noted"

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def run(self, record) -> None:
        self.events.append((record["event"], record["label"]))

    def close(self) -> None:
        self.events.append(("close", ""))


def acted(engine, cats, **how) -> tuple[list, list]:
    """What two actions note: one that asks when, one that is always told."""
    first, second = Noted(), Noted()
    doing = Doing(actions=[first], always=[second], **how)
    source = Arrays((cats[i : i + 1600] for i in range(0, len(cats), 1600)), RATE)
    list(watch(engine, [source], ALL, doing, pytest.fail))
    return first.events, second.events


def test_a_rule_says_which_labels_and_from_which_score_on(engine, cats):
    first, second = acted(engine, cats, rules=[Rule("Cat", 0.9)])
    assert first[-1] == second[-1] == ("close", "")
    assert {label for _, label in first[:-1]} == {"Cat", "Meow"}  # Caterwaul has less
    assert {kind for kind, _ in first[:-1]} == {"begin"}
    assert {kind for kind, _ in second[:-1]} == {"begin", "end"}


@pytest.mark.parametrize("when", ["begin", "end", "both"])
def test_actions_are_at_the_beginning_the_end_or_both(engine, cats, when):
    first, _ = acted(engine, cats, rules=[Rule("Meow")], when=when)
    kinds = [kind for kind, _ in first[:-1]]
    assert kinds == (["begin", "end"] * 2 if when == "both" else [when] * 2)


def test_what_is_not_acted_on_at_its_beginning_is_not_at_its_end(engine, cats):
    first, second = acted(
        engine, cats, rules=[Rule("Meow")], when="both", limits=Limits(every=60.0)
    )
    assert first == second == [("begin", "Meow"), ("end", "Meow"), ("close", "")]


def test_levels_are_in_decibels_of_full_scale():
    time = np.arange(32_000) / 32_000
    assert level(np.sin(2 * np.pi * 440 * time)) == pytest.approx(-3.01, abs=0.01)
    assert level(np.zeros(10)) == level(np.zeros(0)) == -100.0
