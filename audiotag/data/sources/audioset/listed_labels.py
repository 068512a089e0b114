"""The labels of AudioSet's clips by their ids, from the segment lists: some 50 bytes a clip."""

from collections.abc import Iterable, Sequence

import numpy as np

from audiotag.data.sources.audioset.segments import ID_LENGTH, AudioSetSegment


class ListedLabels:
    """Segments, looked up by id.

    Args:
        segments: Subset and segment of each clip.
    """

    def __init__(self, segments: Iterable[tuple[str, AudioSetSegment]]) -> None:
        self._subsets: list[str] = []
        self._mids: dict[str, int] = {}
        ids, ends, codes, times = bytearray(), [0], [], []
        subsets = []
        for subset, segment in segments:
            ids += segment.id.encode()
            codes += [self._mids.setdefault(mid, len(self._mids)) for mid in segment.mids]
            ends.append(len(codes))
            times.append((segment.start, segment.end))
            if subset not in self._subsets:
                self._subsets.append(subset)
            subsets.append(self._subsets.index(subset))
        unsorted = np.frombuffer(bytes(ids), f"S{ID_LENGTH}")
        self._order = np.argsort(unsorted, kind="stable")
        self._ids = unsorted[self._order]
        self._ends, self._codes = np.array(ends), np.array(codes, np.int32)
        self._times, self._of_subset = np.array(times), np.array(subsets, np.int8)
        self._names: Sequence[str] = list(self._mids)

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, name: str) -> tuple[str, AudioSetSegment] | None:
        """Subset and segment of an id; None if no list has it."""
        place = int(np.searchsorted(self._ids, name.encode()))
        if place == len(self._ids) or self._ids[place] != name.encode():
            return None
        row = self._order[place]
        codes = self._codes[self._ends[row] : self._ends[row + 1]]
        start, end = self._times[row].tolist()
        mids = tuple(self._names[code] for code in codes)
        return self._subsets[self._of_subset[row]], AudioSetSegment(name, start, end, mids)
