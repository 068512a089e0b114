"""Which of AudioSet's subsets a file of clips belongs to, by its path."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from audiotag.data.sources.splits import EVAL, TEST, TRAIN, split_in

BALANCED, UNBALANCED = "balanced", "unbalanced"
SPLITS = {BALANCED: TRAIN, UNBALANCED: TRAIN, EVAL: EVAL}  # of the subsets
UNBALANCED_WORDS = {"unbal", "unbalanced", "2m", "500k"}
WORD = re.compile(r"[a-z0-9]+")


def splits_of(folder: Path, paths: Iterable[str], subsets: Sequence[str] = ()) -> dict[str, str]:
    """Split of each of these files below a folder that belongs to one of the subsets.

    A file whose path, the folder's name included, names no split is for training. AudioSet has one
    set of clips that is held out: "test" is its "eval". A file of both training subsets counts as
    unbalanced.

    Args:
        folder: What the paths are below.
        paths: Of the files.
        subsets: All if empty.
    """
    found = {}
    for path in paths:
        whole = f"{folder.absolute().name}/{path}"
        split = split_in(whole) or TRAIN
        split = EVAL if split == TEST else split
        if not subsets or _subset(whole, split) in subsets:
            found[path] = split
    return found


def _subset(path: str, split: str) -> str:
    if split != TRAIN:
        return split
    is_unbalanced = UNBALANCED_WORDS.intersection(WORD.findall(path.lower()))
    return UNBALANCED if is_unbalanced else BALANCED
