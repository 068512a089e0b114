"""AudioSet in any of its usual forms: parquet, HDF5, tars, or audio files and segment lists."""

import difflib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from audiotag.data.recordings import Failure, FileAudio, Recording, Source
from audiotag.data.sources.audioset.archives import ArchiveSource
from audiotag.data.sources.audioset.hdf5 import Hdf5Layout, find_hdf5
from audiotag.data.sources.audioset.parquet import ParquetLayout, find_parquet
from audiotag.data.sources.audioset.segments import (
    FILES,
    HOME,
    AudioSetSegment,
    files_by_id,
    read_segments,
)
from audiotag.data.sources.audioset.webdataset import WebDatasetLayout, find_tars
from audiotag.data.sources.audioset.youtube import GONE, read_gone
from audiotag.data.sources.collections import ListedSource
from audiotag.errors import DataError
from audiotag.label_set import Labels
from audiotag.runtime.shares import Share

SPLITS = {"balanced": "train", "unbalanced": "train", "eval": "eval"}
LAYOUTS = (  # the first one that a folder has files of is used
    (find_parquet, ParquetLayout),
    (find_hdf5, Hdf5Layout),
    (find_tars, WebDatasetLayout),
)
MISSING = "no file is named by this id"


def open_audioset(
    source: Path,
    subsets: Sequence[str] = (),
    classes: Sequence[str] = (),
    metadata: Path | None = None,
) -> Source:
    """The clips of a copy of AudioSet: those in its parquet, HDF5 or tar files; if there are none,
    those in the segment lists, with audio files named by their ids.

    The ids are the keys. "balanced" and "unbalanced" become the split "train", "eval" stays "eval".
    The labels are AudioSet's 527. A clip without a file is a failure: of kind "gone" if
    `youtube.download` has found out why, else "missing".

    Args:
        source: A folder, searched recursively for parquet, HDF5 or tar files, then for audio
            files; or one parquet, HDF5 or tar file.
        subsets: Of "balanced", "unbalanced", "eval"; all that there are unless given.
        classes: Names or mids; only clips that have one of them. All clips unless given.
        metadata: Folder of the segment lists; unless given, the source's or the one above it.

    Raises:
        DataError: If a list is missing or cannot be read, if there is no such class, or if the
            file is of another kind.
    """
    labels = Labels.audioset()
    wanted = _mids_of(classes, labels)
    names = {str(label.mid): label.name for label in labels}
    alone = source.is_file()
    folder = source.parent if alone else source
    for find, layout in LAYOUTS:
        found = find(folder)
        if alone:
            found = {path: subset for path, subset in found.items() if path == source.name}
        if found:
            splits = {path: SPLITS[x] for path, x in found.items() if not subsets or x in subsets}
            if not splits:
                raise DataError(f"{source} has no files of {' or '.join(subsets)}")
            return ArchiveSource(folder, splits, layout(names, wanted))
    if alone:
        raise DataError(
            f"{source} is not one of AudioSet's parquet, HDF5 or tar files; give a folder of audio "
            "files with the segment lists, or a parquet file in its folder (bal_train, ...)"
        )
    files, gone = files_by_id(folder), read_gone(folder)
    clips = (
        _clip(segment, SPLITS[subset], names, files, gone, folder)
        for subset, segment in listed_segments(folder, subsets, classes, metadata)
    )
    return ListedSource(folder, clips, labels.names)


def listed_segments(
    folder: Path,
    subsets: Sequence[str] = (),
    classes: Sequence[str] = (),
    metadata: Path | None = None,
) -> Iterator[tuple[str, AudioSetSegment]]:
    """Subset and segment of each clip in the lists; arguments and errors as `open_audioset`."""
    wanted = _mids_of(classes, Labels.audioset())
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


def _find_lists(folder: Path, subsets: Sequence[str], metadata: Path | None) -> dict[str, Path]:
    places = (folder, folder.parent) if metadata is None else (metadata,)
    found = {
        subset: place / name
        for subset, name in FILES.items()
        for place in reversed(places)
        if (place / name).is_file()
    }
    missing = [FILES[subset] for subset in subsets if subset not in found]
    if missing or not found:
        raise DataError(
            f"there is no {' or '.join(missing or FILES.values())} in "
            f"{' or '.join(map(str, places))}; download it from {HOME} and say where it is with "
            "--metadata"
        )
    return {subset: path for subset, path in found.items() if not subsets or subset in subsets}


def _mids_of(classes: Sequence[str], labels: Labels) -> set[str]:
    known = {key: label.mid for label in labels for key in (label.name, label.mid)}
    for name in classes:
        if name not in known:
            near = difflib.get_close_matches(name, [x for x in known if x], 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise DataError(f"AudioSet has no class {name!r}{hint}")
    return {str(known[name]) for name in classes}


def _clip(
    segment: AudioSetSegment,
    split: str,
    names: dict[str, str],
    files: dict[str, str],
    gone: dict[str, str],
    folder: Path,
) -> Recording | Failure:
    path = files.get(segment.id)
    if path is None and segment.id in gone:
        return Failure(segment.id, gone[segment.id], GONE)
    if path is None:
        return Failure(segment.id, MISSING, "missing")
    unknown = [mid for mid in segment.mids if mid not in names]
    if unknown:
        return Failure(segment.id, f"{' and '.join(unknown)} is not of the 527 classes", "class")
    labels = tuple(names[mid] for mid in segment.mids)
    audio = FileAudio(folder / path)
    return Recording(path, audio, labels, split, key=segment.id, start=segment.start)
