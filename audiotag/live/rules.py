"""Rules such as "Dog>0.7": which events something is done about, and from which score on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiotag.label_set import Labels


@dataclass(frozen=True)
class Rule:
    """A label, with those below it in AudioSet's ontology, and a score.

    Attributes:
        label: Its name.
        score: The lowest score of its events; None for that of the model.
    """

    label: str
    score: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """The rule in a text such as "Dog>0.7" or "Dog".

        Raises:
            ValueError: It is none.
        """
        label, sign, score = text.rpartition(">")
        if not sign:
            return cls(text.strip())
        try:
            value = float(score)
        except ValueError:
            value = -1.0
        if not (label.strip() and 0 < value <= 1):
            raise ValueError(f"{text!r} is no rule; write one as 'Dog>0.7', with a score up to 1")
        return cls(label.strip(), value)


class Rules:
    """Rules, by the classes of a model. Without any, all events are meant.

    Args:
        rules: The rules.
        labels: The model's classes.

    Raises:
        ValueError: The model has none of the classes of a rule.
    """

    def __init__(self, rules: Sequence[Rule], labels: Labels) -> None:
        self._scores: dict[int, float | None] = {}
        for rule in rules:
            for i in labels.within((rule.label,)):
                self._scores[i] = rule.score
        self._names = {labels[i].name for i in self._scores}
        self.is_empty = not rules

    def mean(self, label: str) -> bool:
        """Whether events of a label are meant."""
        return self.is_empty or label in self._names

    def begin(self, thresholds: np.ndarray) -> np.ndarray:
        """The score at which an event of each class begins (C,): that of its rule, if it has one.

        Args:
            thresholds: Those without rules (C,).
        """
        begin = np.array(thresholds, dtype=float)
        for i, score in self._scores.items():
            if score is not None:
                begin[i] = score
        return begin
