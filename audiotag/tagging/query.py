"""Queries for labels, such as `dog AND NOT (speech OR music)`.

    query = every ("OR" every)*        every = one ("AND" one)*
    one   = "NOT" one | "(" query ")" | name

A name is words, or text in quotes. It stands for the label of that name and those below it in
AudioSet's ontology; or, if no label is called so, for the labels with all its words, and those
below them. Operators are in capitals, so that `pots, and pans` is a name.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from audiotag.label_set import Labels

TOKEN = re.compile(r'\s*(?:(?P<quoted>"[^"]*")|(?P<bracket>[()])|(?P<word>[^\s()"]+))')
OPERATORS = ("AND", "OR", "NOT")
MOST_TOKENS, DEEPEST = 1_000, 50  # of a query
WORD = re.compile(r"\w+")
Test = Callable[[Collection[str]], bool]


@dataclass(frozen=True)
class Name:
    """A name in a query.

    Attributes:
        text: As it was written.
        labels: AudioSet's labels that it stands for, in small letters; none if it is no name there.
        is_wanted: Whether it is asked for, and not excluded.
    """

    text: str
    labels: frozenset[str]
    is_wanted: bool

    def means(self, label: str) -> bool:
        """Whether it stands for a label, also one that AudioSet does not have."""
        small = label.lower()
        if self.labels or small == self.text.lower():
            return small in self.labels or small == self.text.lower()
        return set(WORD.findall(self.text.lower())) <= set(WORD.findall(small))


class Query:
    """A query.

    Args:
        text: As it was written.

    Attributes:
        names: Its names, in order.

    Raises:
        ValueError: It is none; says what is wrong.
    """

    def __init__(self, text: str) -> None:
        self.names: list[Name] = []
        self._tokens = list(_tokens(text))
        self._known = Labels.audioset()
        self._depth = 0
        self._test = self._any(is_wanted=True)
        if self._tokens:
            raise ValueError(
                f"{_shown(self._tokens[0])} is not expected there in the query {text!r}"
            )

    def matches(self, labels: Collection[str]) -> bool:
        """Whether a recording with these labels is asked for."""
        return self._test(labels)

    def wants(self, label: str) -> bool:
        """Whether a label is one of those asked for."""
        return any(name.is_wanted and name.means(label) for name in self.names)

    def unknown(self, seen: Collection[str]) -> list[tuple[str, list[str]]]:
        """The names that stand for no label of AudioSet, nor for one that was seen; each with near
        ones."""
        return [
            (name.text, list(self._known.near(name.text)))
            for name in self.names
            if not name.labels and not any(name.means(label) for label in seen)
        ]

    def _any(self, is_wanted: bool) -> Test:
        tests = [self._all(is_wanted)]
        while self._take("OR"):
            tests.append(self._all(is_wanted))
        return lambda labels: any(test(labels) for test in tests)

    def _all(self, is_wanted: bool) -> Test:
        tests = [self._one(is_wanted)]
        while self._take("AND"):
            tests.append(self._one(is_wanted))
        return lambda labels: all(test(labels) for test in tests)

    def _one(self, is_wanted: bool) -> Test:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"the query is nested more than {DEEPEST} times")
        try:
            if self._take("NOT"):
                test = self._one(not is_wanted)
                return lambda labels: not test(labels)
            if self._take("("):
                inner = self._any(is_wanted)
                if not self._take(")"):
                    raise ValueError("a bracket is not closed in the query")
                return inner
            return self._name(is_wanted)
        finally:
            self._depth -= 1

    def _name(self, is_wanted: bool) -> Test:
        words: list[str] = []
        while self._tokens and self._tokens[0] not in (*OPERATORS, "(", ")"):
            token = self._tokens.pop(0)
            words.append(token.strip('"'))
            if token.startswith('"'):
                break
        text = " ".join(words).strip()
        if not text:
            found = _shown(self._tokens[0]) if self._tokens else "its end"
            raise ValueError(f"the query has {found} where the name of a label is expected")
        name = Name(text, self._meant(text), is_wanted)
        self.names.append(name)
        return lambda labels: any(name.means(label) for label in labels)

    def _meant(self, text: str) -> frozenset[str]:
        exact = [label.name for label in self._known if label.name.lower() == text.lower()]
        words = set(WORD.findall(text.lower()))
        chosen = exact or [
            label.name for label in self._known if words <= set(WORD.findall(label.name.lower()))
        ]
        below = self._known.within(tuple(chosen)) if chosen else ()
        return frozenset(self._known[i].name.lower() for i in below)

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False


def _tokens(text: str) -> Iterator[str]:
    place, count = 0, 0
    while place < len(text.rstrip()):
        found = TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"a quote is not closed in the query {text!r}")
        count += 1
        if count > MOST_TOKENS:
            raise ValueError(f"the query has more than {MOST_TOKENS} words")
        yield found[0].strip()
        place = found.end()


def _shown(token: str) -> str:
    return f"{token!r}"
