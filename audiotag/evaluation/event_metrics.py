"""How well events are found, against labels with times: event by event, and second by second.

The figures are those of Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event
detection" (2016), as the package sed_eval computes them.

Event by event, an event is right if one of the same label in the reference begins within a collar
of it, and, unless only beginnings count, ends within the collar or a share of the reference's
length. Each event of the reference is matched once; of all such matchings the largest counts.
Segment by segment, a label is there in a segment of a second if any of its events touches it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor

COLLAR = 0.25  # seconds
LENGTH_SHARE = 0.5  # of the reference's length
SEGMENT = 1.0  # seconds


@dataclass(frozen=True)
class TimedLabel:
    """A label with its times, in seconds."""

    label: str
    start: float
    end: float


Recordings = Mapping[str, Sequence[TimedLabel]]  # events by the recording's name


@dataclass
class Counts:
    """Events, or segments, that were found and not.

    Attributes:
        reference: How many there are.
        found: How many were found.
        right: How many of these are right.
        substituted: How many are there under another label.
    """

    reference: int = 0
    found: int = 0
    right: int = 0
    substituted: int = 0

    def add(self, other: "Counts") -> None:
        """Add those of another recording."""
        self.reference += other.reference
        self.found += other.found
        self.right += other.right
        self.substituted += other.substituted

    @property
    def precision(self) -> float:
        """Share of what was found that is right; NaN if nothing was found."""
        return self.right / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the reference that was found; NaN without a reference."""
        return self.right / self.reference if self.reference else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if nothing is there nor found."""
        count = self.reference + self.found
        return 2 * self.right / count if count else float("nan")

    @property
    def error_rate(self) -> float:
        """Substitutions, deletions and insertions for each of the reference; NaN without one."""
        missed = self.reference - self.right - self.substituted
        extra = self.found - self.right - self.substituted
        wrong = self.substituted + missed + extra
        return wrong / self.reference if self.reference else float("nan")


@dataclass(frozen=True)
class EventFigures:
    """Counts over all labels, and of each.

    Attributes:
        overall: All labels together.
        by_label: Without substitutions, which one label has none of.
    """

    overall: Counts = field(default_factory=Counts)
    by_label: dict[str, Counts] = field(default_factory=dict)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the labels that are in the reference."""
        values = [x.f1 for x in self.by_label.values() if x.reference]
        return sum(values) / len(values) if values else float("nan")


@dataclass(frozen=True)
class Matching:
    """When an event is right.

    Attributes:
        collar: Seconds between beginnings, and between ends.
        length_share: Of the reference's length, which ends may be apart if that is more.
        ends: Whether ends count.
    """

    collar: float = COLLAR
    length_share: float = LENGTH_SHARE
    ends: bool = True

    def fits(self, reference: TimedLabel, found: TimedLabel) -> bool:
        """Whether the times of an event are those of one in the reference."""
        if abs(reference.start - found.start) > self.collar:
            return False
        length = reference.end - reference.start
        return not self.ends or (
            abs(reference.end - found.end) <= max(self.collar, self.length_share * length)
        )


def event_figures(
    reference: Recordings, found: Recordings, matching: Matching = Matching()
) -> EventFigures:
    """Figures event by event; recordings that only one side has count too."""
    figures = EventFigures()
    for name in sorted(reference.keys() | found.keys()):
        there, heard = reference.get(name, ()), found.get(name, ())
        figures.overall.add(_event_counts(there, heard, matching))
        for label in {x.label for x in (*there, *heard)}:
            of_label = [x for x in there if x.label == label]
            heard_of_label = [x for x in heard if x.label == label]
            counts = figures.by_label.setdefault(label, Counts())
            counts.add(_event_counts(of_label, heard_of_label, matching))
    return figures


def segment_figures(
    reference: Recordings, found: Recordings, seconds: float = SEGMENT
) -> EventFigures:
    """Figures segment by segment, of segments of so many seconds."""
    figures = EventFigures()
    for name in sorted(reference.keys() | found.keys()):
        there = _labels_of_segments(reference.get(name, ()), seconds)
        heard = _labels_of_segments(found.get(name, ()), seconds)
        for segment in there.keys() | heard.keys():
            here, said = there.get(segment, set()), heard.get(segment, set())
            right = len(here & said)
            swapped = min(len(here), len(said)) - right
            figures.overall.add(Counts(len(here), len(said), right, swapped))
            for label in here | said:
                counts = figures.by_label.setdefault(label, Counts())
                counts.add(Counts(label in here, label in said, label in here & said))
    return figures


def _event_counts(
    reference: Sequence[TimedLabel], found: Sequence[TimedLabel], matching: Matching
) -> Counts:
    right = _largest_matching(
        [
            [i for i, x in enumerate(found) if x.label == y.label and matching.fits(y, x)]
            for y in reference
        ]
    )
    left = [x for i, x in enumerate(found) if i not in right.values()]
    missed = [x for i, x in enumerate(reference) if i not in right]
    swapped = _largest_matching(
        [[i for i, x in enumerate(left) if matching.fits(y, x)] for y in missed]
    )
    return Counts(len(reference), len(found), len(right), len(swapped))


def _largest_matching(choices: Sequence[Iterable[int]]) -> dict[int, int]:
    """A largest matching of a bipartite graph, by augmenting paths: of each left node the right
    one that it has. `choices` are the right nodes that each left one may have."""
    owner: dict[int, int] = {}

    def place(left: int, tried: set[int]) -> bool:
        for right in choices[left]:
            if right not in tried:
                tried.add(right)
                if right not in owner or place(owner[right], tried):
                    owner[right] = left
                    return True
        return False

    for left in range(len(choices)):
        place(left, set())
    return {left: right for right, left in owner.items()}


def _labels_of_segments(events: Iterable[TimedLabel], seconds: float) -> dict[int, set[str]]:
    labels: dict[int, set[str]] = {}
    for event in events:
        for segment in range(floor(event.start / seconds), ceil(event.end / seconds)):
            labels.setdefault(segment, set()).add(event.label)
    return labels
