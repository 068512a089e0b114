"""Tags as people read them: a tag on one line with those above it in the ontology, Dog > Bark."""

from collections.abc import Sequence
from dataclasses import dataclass

from audiotag.label_set import ancestors
from audiotag.tagging.results import GUESS, Tag
from audiotag.tagging.text import label_text

APART = 0.1  # a tag that scores this much more than those below it is shown with its score


@dataclass(frozen=True)
class Chain:
    """A tag, and the tags above it in the ontology that no earlier chain contains.

    Attributes:
        tag: The tag; it is above no other tag.
        above: The tags above it, the most general first.
    """

    tag: Tag
    above: tuple[Tag, ...] = ()

    def __str__(self) -> str:
        texts, below = [label_text(self.tag)], self.tag.score
        for tag in reversed(self.above):
            is_apart = tag.score >= below + APART
            texts.append(f"{label_text(tag)} ({tag.score:.2f})" if is_apart else label_text(tag))
            below = max(below, tag.score)
        return " > ".join(reversed(texts)) + (GUESS if self.tag.guess else "")


def chains(tags: Sequence[Tag]) -> list[Chain]:
    """The chains of the tags of a file or window, in the tags' order; each tag is in one chain."""
    known = {tag.mid: tag for tag in tags if tag.mid is not None}
    above: dict[str | None, list[str]]
    above = {mid: sorted(ancestors(mid) & known.keys(), key=_depth) for mid in known}
    folded = {mid for mids in above.values() for mid in mids}
    found, written = [], set[str]()
    for tag in tags:
        if tag.mid not in folded:
            mids = [mid for mid in above.get(tag.mid, ()) if mid not in written]
            found.append(Chain(tag, tuple(known[mid] for mid in mids)))
            written.update(mids)
    return found


def _depth(mid: str) -> tuple[int, str]:
    return len(ancestors(mid)), mid
