"""Label sets: AudioSet's 527 classes with their ontology, or any list of names."""

import csv
import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from audiotag.errors import ModelError

ONTOLOGY_FILE = "audioset.tsv"
MAX_NAME = 1_000  # characters
# Unicode's categories of characters that no name of a sound has: control characters, which act on a
# terminal; surrogates; ends of lines and paragraphs.
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
# They change the direction of writing, and so can change what a line seems to say.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NEGATIVES = ("background", "noise", "none")  # what people call recordings of none of the labels
NEAR = 3  # most names to suggest


@dataclass(frozen=True)
class Label:
    """A class: its name, and its AudioSet machine id where it has one."""

    name: str
    mid: str | None = None


class Labels:
    """An ordered set of labels, in the order of a model's outputs.

    Args:
        labels: Label objects, or names.

    Raises:
        ModelError: If a name occurs twice, or is not a line of text.
    """

    def __init__(self, labels: Iterable[Label | str]) -> None:
        self._labels = tuple(x if isinstance(x, Label) else Label(x) for x in labels)
        for label in self._labels:
            _check(label)
        self._index = {label.name: i for i, label in enumerate(self._labels)}
        if len(self._index) < len(self._labels):
            twice = next(x.name for i, x in enumerate(self._labels) if self._index[x.name] != i)
            raise ModelError(f"label {twice!r} occurs twice; label names must differ")

    @classmethod
    def audioset(cls) -> "Labels":
        """AudioSet's 527 classes (Gemmeke et al., 2017), in the order of its class index."""
        classes = [row for row in _ontology().values() if row["index"]]
        classes.sort(key=lambda row: int(row["index"]))
        return cls(Label(row["name"], row["mid"]) for row in classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order."""
        return tuple(label.name for label in self._labels)

    def index(self, name: str) -> int:
        """Position of a name.

        Raises:
            KeyError: If there is no such label.
        """
        return self._index[name]

    def above(self, index: int) -> list[int]:
        """Positions, in rising order, of the classes of this set that are above one in AudioSet's
        ontology. None for a class without a machine id, or with one not in the ontology."""
        places = self._places()
        return sorted(places[mid] for mid in ancestors(self._labels[index].mid) if mid in places)

    def within(self, names: Iterable[str]) -> list[int]:
        """Positions, in rising order, of the classes that names stand for.

        A name stands for its class and for all classes below it in AudioSet's ontology. The
        ontology also has names that are not classes, such as Human sounds.

        Args:
            names: Labels, in upper or lower case, or machine ids.

        Raises:
            ValueError: If a name is unknown or has no class here; suggests similar names.
        """
        found: set[int] = set()
        for name in names:
            mid = _mid_of(name)
            chosen = {
                i
                for i, label in enumerate(self._labels)
                if label.name.lower() == name.lower()
                or (mid is not None and mid in (label.mid, *ancestors(label.mid)))
            }
            if not chosen:
                raise ValueError(self._unknown(name))
            found |= chosen
        return sorted(found)

    def near(self, name: str) -> list[str]:
        """At most three similar names: first those that contain it, then those spelt like it."""
        lower = {label.name.lower(): label.name for label in self._labels}
        holding = sorted((x for x in lower if name.lower() in x), key=len)
        alike = difflib.get_close_matches(name.lower(), lower, NEAR)
        return [lower[x] for x in dict.fromkeys([*holding, *alike])][:NEAR]

    def _unknown(self, name: str) -> str:
        near = " or ".join(map(repr, self.near(name)))
        remedy = f"did you mean {near}?" if near else "audiotag labels lists those there are"
        return f"the model has no label {name!r}; {remedy}"

    def _places(self) -> dict[str, int]:
        return {label.mid: i for i, label in enumerate(self._labels) if label.mid is not None}

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __getitem__(self, index: int) -> Label:
        return self._labels[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self._labels == other._labels

    def __hash__(self) -> int:
        return hash(self._labels)

    def __repr__(self) -> str:
        return f"Labels({len(self)}: {', '.join(self.names[:3])}, ...)"


def is_negative(name: str) -> bool:
    """Whether a name, in upper or lower case, means that a recording has none of the labels."""
    return name.strip().casefold() in NEGATIVES


def _check(label: Label) -> None:
    """Raise a ModelError if a name, or a machine id, is not a line of text."""
    if label.mid is not None and not _is_name(label.mid):
        raise ModelError(
            f"label {_ascii(label.name)} has the mid {_ascii(label.mid)}, which "
            "is not a line of text"
        )
    if not _is_name(label.name):
        raise ModelError(
            f"label {_ascii(label.name)} is not a line of text of 1 to {MAX_NAME:,} characters "
            "without control characters; rename it"
        )


def is_line(text: str) -> bool:
    """Whether a text has no control characters, ends of lines or changes of direction."""
    if text.isascii():
        return text.isprintable()
    return not any(x in TURNING or unicodedata.category(x) in UNPRINTABLE for x in text)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and is_line(name)


def _ascii(name: object) -> str:
    return ascii(name)[:80]


def _mid_of(name: str) -> str | None:
    """Machine id of a name in the ontology, in upper or lower case; None if it is not there."""
    if name in _ontology():
        return name
    rows = _ontology().values()
    return next((row["mid"] for row in rows if row["name"].lower() == name.lower()), None)


def paths_to(mid: str | None) -> list[tuple[str, ...]]:
    """The paths from the roots of the ontology to a class: names of all classes above it, from the
    top down. Empty for a root, and for a class that is not in the ontology."""
    if mid is None or mid not in _ontology():
        return []
    ways = []
    for label in parents(mid):
        ways += [(*way, label.name) for way in paths_to(label.mid) or [()]]
    return ways


def parents(mid: str) -> tuple[Label, ...]:
    """Direct parents of an AudioSet class in the ontology; empty for a root.

    Raises:
        KeyError: If the machine id is not in the ontology.
    """
    ontology = _ontology()
    above = ontology[mid]["parents"].split(",")
    return tuple(Label(ontology[parent]["name"], parent) for parent in above if parent)


@cache
def ancestors(mid: str | None) -> frozenset[str]:
    """Machine ids of all classes above one in the ontology; empty if it is not in the ontology."""
    if mid is None or mid not in _ontology():
        return frozenset()
    found = {label.mid for label in parents(mid) if label.mid is not None}
    return frozenset(found.union(*map(ancestors, found)))


@cache
def _ontology() -> dict[str, dict[str, str]]:
    """Rows of the ontology (mid, index, name, parents) by machine id."""
    text = (files("audiotag") / "assets" / ONTOLOGY_FILE).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["mid"]: row for row in rows}
