"""AudioSet in any of its usual forms: parquet, HDF5, tars, or audio files and segment lists."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from audiotag.data.recordings import Failure, Recording, Source, printable
from audiotag.data.sources.archives import (
    ArchiveLayout,
    ArchiveSource,
    NoClipsError,
    files_below,
)
from audiotag.data.sources.audioset import hdf5, parquet, webdataset
from audiotag.data.sources.audioset.hdf5 import Hdf5Layout
from audiotag.data.sources.audioset.listed_labels import ListedLabels
from audiotag.data.sources.audioset.named_files import NamedFile, audio_of, files_by_id, fitting
from audiotag.data.sources.audioset.parquet import ParquetLayout
from audiotag.data.sources.audioset.segments import FILES, HOME, AudioSetSegment, read_segments
from audiotag.data.sources.audioset.subsets import SPLITS, splits_of
from audiotag.data.sources.audioset.webdataset import WebDatasetLayout
from audiotag.data.sources.audioset.youtube import GONE, read_gone
from audiotag.data.sources.collections import ListedSource
from audiotag.errors import DataError
from audiotag.label_set import Labels
from audiotag.runtime.shares import Share

MISSING = "no file is named by this id"
OTHER_TIMES = "the files that are named by this id are of other times"
OTHER_TIME = "other time"  # the kind of failure


def open_audioset(
    source: Path,
    subsets: Sequence[str] = (),
    classes: Sequence[str] = (),
    metadata: Path | None = None,
    rate: int | None = None,
) -> Source:
    """The clips of a copy of AudioSet: those in its parquet, HDF5 or tar files; if there are none,
    those in the segment lists, with audio files named by their ids.

    The ids are the keys. "balanced" and "unbalanced" become the split "train", "eval" stays. The
    labels are AudioSet's 527. A clip without a file is a failure: of kind "gone" where
    `youtube.download` has found out why, else "missing"; so is a file of a listed video whose name
    says another time, of kind "other time".

    Args:
        source: A folder, searched recursively for parquet, HDF5 or tar files, then for audio
            files; or one parquet, HDF5 or tar file.
        subsets: Of "balanced", "unbalanced", "eval"; all that there are unless given.
        classes: Names or mids; only clips that have one of them. All clips unless given.
        metadata: Folder of the segment lists; unless given, the source's or the one above it.
        rate: Of waveforms in HDF5 files that do not say it, in Hz.

    Raises:
        DataError: If a list is missing or cannot be read, if there is no such class, or if the
            file is of another kind.
    """
    labels = Labels.audioset()
    wanted = _mids_of(classes, labels)
    names = {str(label.mid): label.name for label in labels}
    alone = source.is_file()
    folder = source.parent if alone else source
    layouts: tuple[tuple[Collection[str], ArchiveLayout], ...] = (
        (parquet.SUFFIXES, ParquetLayout(names, wanted)),
        (hdf5.SUFFIXES, Hdf5Layout(names, wanted, rate)),
        (webdataset.SUFFIXES, WebDatasetLayout(names, wanted, _lists(folder, subsets, metadata))),
    )
    reasons = []
    for suffixes, layout in layouts:  # the first one that a folder has files of is used
        found = [x for x in files_below(folder, suffixes) if not alone or x == source.name]
        splits = splits_of(folder, found, subsets)
        if found and not splits:
            raise DataError(f"{source} has no files of {' or '.join(subsets)}")
        try:
            if splits:
                return ArchiveSource(folder, splits, layout)
        except NoClipsError as error:
            reasons.append(str(error))
    if reasons and (alone or not _lists_in(_list_places(folder, metadata))):
        raise DataError(reasons[0])
    if alone:
        raise DataError(
            f"{source} is not one of AudioSet's parquet, HDF5 or tar files; give a folder of audio "
            "files with the segment lists"
        )
    files, gone = files_by_id(folder), read_gone(folder)
    listed = listed_segments(folder, subsets, classes, metadata)
    return ListedSource(folder, _clips(listed, names, files, gone, folder), labels.names)


def _lists(
    folder: Path, subsets: Sequence[str], metadata: Path | None
) -> Callable[[], ListedLabels | None]:
    """What gives the labels in the segment lists, read when it is called first; None if there are
    no lists."""

    @cache
    def read() -> ListedLabels | None:
        if metadata is None and not _lists_in(_list_places(folder, None)):
            return None
        return ListedLabels(listed_segments(folder, subsets, (), metadata))

    return read


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


def _lists_in(places: Sequence[Path]) -> dict[str, Path]:
    """The segment list of each subset, from the first of these folders that has it."""
    return {
        subset: place / name
        for subset, name in FILES.items()
        for place in reversed(places)
        if (place / name).is_file()
    }


def _mids_of(classes: Sequence[str], labels: Labels) -> set[str]:
    known = {key: label.mid for label in labels for key in (label.name, label.mid)}
    for name in classes:
        if name not in known:
            near = difflib.get_close_matches(name, [x for x in known if x], 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise DataError(f"AudioSet has no class {name!r}{hint}")
    return {str(known[name]) for name in classes}


def _clips(
    segments: Iterable[tuple[str, AudioSetSegment]],
    names: dict[str, str],
    files: Mapping[str, Sequence[NamedFile]],
    gone: Mapping[str, str],
    folder: Path,
) -> Iterator[Recording | Failure]:
    """The listed segments, then the files of their videos that are of other times."""
    others: dict[str, set[NamedFile]] = {}
    for subset, segment in segments:
        named = files.get(segment.id, ())
        found = fitting(named, segment)
        if found is None:
            yield _missing(segment, bool(named), gone)
        else:
            yield _clip(segment, SPLITS[subset], names, *found, folder)
        unfit = {file for file in named if fitting([file], segment) is None}
        if unfit or segment.id in others:
            others[segment.id] = others.get(segment.id, unfit) & unfit
    for unfit in others.values():
        for file in sorted(unfit, key=lambda file: file.path):
            reason = "the time in its name is not listed for its id"
            yield Failure(printable(file.path), reason, OTHER_TIME)


def _missing(segment: AudioSetSegment, has_files: bool, gone: Mapping[str, str]) -> Failure:
    if segment.id in gone:
        return Failure(segment.id, gone[segment.id], GONE)
    return Failure(segment.id, OTHER_TIMES if has_files else MISSING, "missing")


def _clip(
    segment: AudioSetSegment,
    split: str,
    names: dict[str, str],
    file: NamedFile,
    begins: float,
    folder: Path,
) -> Recording | Failure:
    unknown = [mid for mid in segment.mids if mid not in names]
    if unknown:
        return Failure(segment.id, f"{' and '.join(unknown)} is not of the 527 classes", "class")
    labels = tuple(names[mid] for mid in segment.mids)
    audio = audio_of(folder / file.path, segment, begins)
    return Recording(file.path, audio, labels, split, key=segment.id, start=segment.start)
