"""AudioSet's segment lists: where they are, and which of their clips are meant."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from audiotag.data.sources.audioset.listed_labels import ListedLabels
from audiotag.data.sources.audioset.segments import FILES, HOME, AudioSetSegment, read_segments
from audiotag.errors import DataError
from audiotag.label_set import Labels
from audiotag.runtime.shares import Share


def listed_segments(
    folder: Path,
    subsets: Sequence[str] = (),
    classes: Sequence[str] = (),
    metadata: Path | None = None,
) -> Iterator[tuple[str, AudioSetSegment]]:
    """Subset and segment of each clip in the lists; arguments and errors as of `open_audioset`."""
    wanted = mids_of(classes, Labels.audioset())
    for subset, path in _find_lists(folder, subsets, metadata).items():
        for segment in read_segments(path):
            if not wanted or wanted.intersection(segment.mids):
                yield subset, segment


def segments_of_share(
    folder: Path,
    subsets: Sequence[str],
    classes: Sequence[str],
    metadata: Path | None,
    share: Share,
    limit: int | None = None,
) -> list[AudioSetSegment]:
    """The segments of one share of `listed_segments`, or of the first `limit` of them."""
    lists = (folder, subsets, classes, metadata)
    size = sum(1 for _ in listed_segments(*lists))
    first, last = share.span(size if limit is None else min(limit, size))
    return [segment for _, segment in islice(listed_segments(*lists), first, last)]


def labels_in_lists(
    folder: Path, subsets: Sequence[str], metadata: Path | None
) -> Callable[[], ListedLabels | None]:
    """What gives the labels in the segment lists, read when it is called first; None if there are
    no lists."""

    @cache
    def read() -> ListedLabels | None:
        if metadata is None and not has_lists(folder):
            return None
        return ListedLabels(listed_segments(folder, subsets, (), metadata))

    return read


def _lists_in(places: Sequence[Path]) -> dict[str, Path]:
    """The segment list of each subset, from the first of these folders that has it."""
    return {
        subset: place / name
        for subset, name in FILES.items()
        for place in reversed(places)
        if (place / name).is_file()
    }


def has_lists(folder: Path, metadata: Path | None = None) -> bool:
    """Whether there is a segment list; arguments as of `open_audioset`."""
    return bool(_lists_in(_list_places(folder, metadata)))


def mids_of(classes: Sequence[str], labels: Labels) -> set[str]:
    """Mids of classes, given by name or mid.

    Raises:
        DataError: If there is no such class.
    """
    known = {key: label.mid for label in labels for key in (label.name, label.mid)}
    for name in classes:
        if name not in known:
            near = difflib.get_close_matches(name, [x for x in known if x], 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise DataError(f"AudioSet has no class {name!r}{hint}")
    return {str(known[name]) for name in classes}


def _find_lists(folder: Path, subsets: Sequence[str], metadata: Path | None) -> dict[str, Path]:
    places = _list_places(folder, metadata)
    found = _lists_in(places)
    missing = [FILES[subset] for subset in subsets if subset not in found]
    if missing or not found:
        raise DataError(
            f"there is no {' or '.join(missing or FILES.values())} in "
            f"{' or '.join(map(str, places))}; download it from {HOME} and say where it is with "
            "--metadata"
        )
    return {subset: path for subset, path in found.items() if not subsets or subset in subsets}


def _list_places(folder: Path, metadata: Path | None) -> tuple[Path, ...]:
    return (folder, folder.parent) if metadata is None else (metadata,)
