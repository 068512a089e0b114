"""AudioSet in any of its usual forms: parquet, HDF5, tars, or audio files and segment lists."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from audiotag.data.sources.audioset.lists import (
    has_lists,
    labels_in_lists,
    listed_segments,
    mids_of,
)
from audiotag.data.sources.audioset.named_files import NamedFile, audio_of, files_by_id, fitting
from audiotag.data.sources.audioset.parquet import ParquetLayout
from audiotag.data.sources.audioset.segments import AudioSetSegment
from audiotag.data.sources.audioset.subsets import SPLITS, splits_of
from audiotag.data.sources.audioset.webdataset import WebDatasetLayout
from audiotag.data.sources.audioset.youtube import GONE, read_gone
from audiotag.data.sources.collections import ListedSource
from audiotag.errors import DataError
from audiotag.label_set import Labels

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
    wanted = mids_of(classes, labels)
    names = {str(label.mid): label.name for label in labels}
    alone = source.is_file()
    folder = source.parent if alone else source
    layouts: tuple[tuple[Collection[str], ArchiveLayout], ...] = (
        (parquet.SUFFIXES, ParquetLayout(names, wanted)),
        (hdf5.SUFFIXES, Hdf5Layout(names, wanted, rate)),
        (
            webdataset.SUFFIXES,
            WebDatasetLayout(names, wanted, labels_in_lists(folder, subsets, metadata)),
        ),
    )
    file = source.name if alone else None
    found = _archives(folder, file, subsets, layouts, alone or not has_lists(folder, metadata))
    if found is not None:
        return found
    if alone:
        raise DataError(
            f"{source} is not one of AudioSet's parquet, HDF5 or tar files; give a folder of audio "
            "files with the segment lists"
        )
    files, gone = files_by_id(folder), read_gone(folder)
    listed = listed_segments(folder, subsets, classes, metadata)
    return ListedSource(folder, _clips(listed, names, files, gone, folder), labels.names)


def _archives(
    folder: Path,
    file: str | None,
    subsets: Sequence[str],
    layouts: Iterable[tuple[Collection[str], ArchiveLayout]],
    needed: bool,
) -> ArchiveSource | None:
    """The clips of the first layout that a folder, or one file of it, has; None if it has none.

    Args:
        folder: Searched recursively.
        file: The only one to take; all if None.
        subsets: As of `open_audioset`.
        layouts: Suffixes of the files, and how clips lie in them.
        needed: Whether there is nothing else to take where no file has clips.
    """
    reasons = []
    for suffixes, layout in layouts:
        found = [x for x in files_below(folder, suffixes) if file in (None, x)]
        splits = splits_of(folder, found, subsets)
        if found and not splits:
            raise DataError(f"{folder / (file or '')} has no files of {' or '.join(subsets)}")
        try:
            if splits:
                return ArchiveSource(folder, splits, layout)
        except NoClipsError as error:
            reasons.append(str(error))
    if reasons and needed:
        raise DataError(reasons[0])
    return None


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
