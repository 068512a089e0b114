"""Splits by name: the one place that knows what people call them.

A name is a column's value, a folder, or a file; the first two have to be a split's name as a whole,
while a file of many clips has it as one of the words in its path.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

TRAIN, VALID, TEST, EVAL = "train", "valid", "test", "eval"
NAMES = {
    TRAIN: ("train", "training"),
    VALID: ("val", "valid", "validation", "dev"),
    TEST: ("test", "testing"),
    EVAL: ("eval", "evaluation"),
}
SPLITS = {name: split for split, names in NAMES.items() for name in names}
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")  # where a word of CamelCase begins
WORD = re.compile(r"[a-z]+")  # without digits: train00.h5, test1.parquet
SHOWN = 3  # names in a note


def split_named(name: str) -> str | None:
    """The split that a column's value or a folder is called after, in any case; else None."""
    return SPLITS.get(name.strip().casefold().removesuffix("set"))


def split_in(path: str) -> str | None:
    """The split that a word of a path names: of its file, or else of the nearest folder.

    A name with "train" and another split in it (`train_val.h5`) says nothing; of several others,
    the last of valid, test, eval counts.
    """
    for part in reversed(path.split("/")):
        words = WORD.findall(CAPITAL.sub(" ", part).lower())
        found = {split for word in words if (split := split_named(word))}
        if found and (TRAIN not in found or len(found) == 1):
            return max(found, key=list(NAMES).index)
    return None


def split_notes(splits: Mapping[str, str]) -> tuple[str, ...]:
    """A line for a reader about each split, given the split of each file, folder or value."""
    names = defaultdict(list)
    for name, split in splits.items():
        names[split].append(name)
    return tuple(f"split {split}: {listed(found)}" for split, found in names.items())


def listed(names: Iterable[str]) -> str:
    """Names as a text, of many the first ones and how many more there are."""
    first = list(names)
    rest = len(first) - SHOWN
    if rest <= 1:
        return ", ".join(first)
    return f"{', '.join(first[:SHOWN])} and {rest:,} more"
