"""Label sets: AudioSet's 527 classes with their ontology, or any list of names."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from audiotag.errors import ModelError

ONTOLOGY_FILE = "audioset.tsv"
NEGATIVES = ("background", "noise", "none")  # what people call recordings of none of the labels


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
        ModelError: If a name occurs twice.
    """

    def __init__(self, labels: Iterable[Label | str]) -> None:
        self._labels = tuple(x if isinstance(x, Label) else Label(x) for x in labels)
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
    """Whether a name, in any case, says that a recording has none of the labels."""
    return name.strip().casefold() in NEGATIVES


def parents(mid: str) -> tuple[Label, ...]:
    """Direct parents of an AudioSet class in the ontology; none for a root.

    Raises:
        KeyError: If the ontology has no such machine id.
    """
    ontology = _ontology()
    above = ontology[mid]["parents"].split(",")
    return tuple(Label(ontology[parent]["name"], parent) for parent in above if parent)


@cache
def _ontology() -> dict[str, dict[str, str]]:
    """Rows of the ontology (mid, index, name, parents) by machine id."""
    text = (files("audiotag") / "assets" / ONTOLOGY_FILE).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["mid"]: row for row in rows}
