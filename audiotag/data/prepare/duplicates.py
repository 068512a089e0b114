"""Duplicates: clips that are already in the data set, known by 32 bytes each."""

import hashlib

import numpy as np

DUPLICATE = "duplicate"  # the kind of failure
DIGEST_BYTES = 16
RECENT = 2**15  # digests in a plain set, which takes 7 times the memory, before they are sorted in


class Digests:
    """A set of digests of which only the first `DIGEST_BYTES` are kept."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, f"S{DIGEST_BYTES}")
        self._recent: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, digest: bytes) -> bool:
        short = digest[:DIGEST_BYTES]
        if short in self._recent:
            return True
        place = np.searchsorted(self._sorted, np.array(short, self._sorted.dtype))
        # NumPy pads with zeros and strips them, so zeros at the end do not matter.
        return bool(place < len(self._sorted)) and self._sorted[place] == short.rstrip(b"\0")

    def add(self, digest: bytes) -> None:
        """Add a digest, if it is not in the set."""
        if digest in self:
            return
        self._recent.add(digest[:DIGEST_BYTES])
        if len(self._recent) >= RECENT:
            new = np.sort(np.array(list(self._recent), self._sorted.dtype))
            self._sorted = np.insert(self._sorted, np.searchsorted(self._sorted, new), new)
            self._recent.clear()


class Duplicates:
    """Finds clips that are in the data set already.

    Args:
        keep: Whether clips with the same samples are kept; clips with the same key never are.
    """

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._keys, self._clips = Digests(), Digests()

    def reason(self, key: str, sha256: str) -> str | None:
        """Why a clip is a duplicate; None if it is new, and then it is remembered."""
        name, clip = hashlib.sha256(key.encode()).digest(), bytes.fromhex(sha256)
        if name in self._keys:
            return f"a clip with the key {key} is there already"
        if not self._keep:
            if clip in self._clips:
                return f"a clip with the same samples is there already (sha256 {sha256})"
            self._clips.add(clip)
        self._keys.add(name)
        return None
