"""A data set of the Hub, or a folder in one of the layouts of the `datasets` library."""

from collections.abc import Sequence
from pathlib import Path

from audiotag.audio.extensions import AUDIO_EXTENSIONS
from audiotag.audio.find_files import find_files
from audiotag.data.recordings import Source
from audiotag.data.sources.archives import ArchiveSource, NoClipsError, files_below
from audiotag.data.sources.datasets.audio_folder import TABLES, find_tables, open_audio_folder
from audiotag.data.sources.datasets.card import CARD, read_card
from audiotag.data.sources.datasets.columns import Columns, audio_column, class_names, find_columns
from audiotag.data.sources.datasets.table_file import DAMAGE, SUFFIXES, read_schema
from audiotag.data.sources.datasets.tables import TablesLayout
from audiotag.data.sources.folder import FolderSource
from audiotag.data.sources.hub_files import download_files
from audiotag.data.sources.splits import TRAIN, split_in
from audiotag.errors import DataError

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def download_dataset(source: str, config: str | None = None) -> Path:
    """The folder, in the Hub's cache, of a data set.

    Only tables, audio files and their metadata are downloaded.

    Args:
        source: `owner/name`, or `owner/name@revision`.
        config: The configuration whose files are wanted, as its card names it.

    Raises:
        DataError: If it has no such files, or no such configuration.
        HubError: If they cannot be downloaded.
    """
    card = read_card(download_files(source, lambda _, files: [x for x in files if x == CARD]))

    def choose(name: str, files: Sequence[str]) -> Sequence[str]:
        chosen = card.files(card.choose(name, config), files)
        tables = [file for file in chosen if file.lower().endswith(SUFFIXES)]
        audio = [file for file in chosen if Path(file).suffix.lower() in AUDIO_EXTENSIONS]
        if not tables and not audio:
            raise DataError(f"{name} {_without(files)}")
        about = [file for file in files if file == CARD or Path(file).name in TABLES]
        return [*(tables or audio), *about]

    return download_files(source, choose)


def open_dataset(
    folder: Path, audio: str | None = None, label: str | None = None, config: str | None = None
) -> Source:
    """The recordings of a data set.

    Splits are those that the names of files and folders say. Where there is none but "train", the
    first fold is "valid", or, without folds, a hash divides the recordings.

    Args:
        folder: With parquet or Arrow files that have a column of audio, or else audio files with
            `metadata.csv` or `metadata.jsonl`, or else audio files in a folder for each class.
        audio: The column of the audio; found by its type unless given.
        label: The column of the labels; found by its name unless given.
        config: The configuration, of those that its card names.

    Raises:
        DataError: If it has none of these, or it is not clear which columns or files are meant.
    """
    card = read_card(folder)
    chosen = card.choose(str(folder), config)
    names = card.names.get(chosen or "") or (
        next(iter(card.names.values())) if len(card.names) == 1 else {}
    )
    tables = card.files(chosen, files_below(folder, SUFFIXES))
    with_audio = _columns_of(folder, tables, names, audio, label)
    if with_audio is not None:
        return _open_tables(folder, tables, with_audio)
    metadata = find_tables(folder)
    if metadata:
        return open_audio_folder(folder, metadata, names, label)
    if not any(True for _ in find_files([folder])):
        present = [x.name for x in folder.rglob("*") if x.is_file()]
        raise DataError(f"{folder} {_without(present)}")
    return FolderSource(folder)


def _open_tables(folder: Path, tables: Sequence[str], columns: Columns) -> ArchiveSource:
    splits = {path: split_in(path) or TRAIN for path in tables}
    divides = set(splits.values()) == {TRAIN}
    try:
        source = ArchiveSource(folder, splits, TablesLayout(folder, columns, divides))
    except NoClipsError as error:
        raise DataError(str(error)) from error
    source.notes += (f"labels are in the column {columns.label}{_how(columns)}",)
    if divides:
        by = f"the column {columns.fold}" if columns.fold else "a hash of their names"
        source.notes += (f"there is no split but {TRAIN}: recordings are divided by {by}",)
    return source


def _how(columns: Columns) -> str:
    return f", as numbers of {len(columns.names)} named classes" if columns.names else ""


def _columns_of(
    folder: Path,
    tables: Sequence[str],
    names: dict[str, list[str]],
    audio: str | None,
    label: str | None,
) -> Columns | None:
    """The columns of the first table with audio; None if none has."""
    for path in tables:
        try:
            schema, _ = read_schema(folder / path)
        except DAMAGE:
            continue
        found = audio_column(path, schema, audio)
        if found is not None:
            return find_columns(path, schema.names, names | class_names(schema), found, label)
    return None


def _without(files: Sequence[str]) -> str:
    """What to say of a data set without recordings that can be read."""
    packed = [name for name in files if name.lower().endswith(ARCHIVES)]
    if packed:
        return (
            f"has its recordings in archives ({packed[0]}): download and unpack them, and give "
            "that folder; tar files of AudioSet are for prepare audioset"
        )
    scripts = [name for name in files if name.endswith(".py")]
    if scripts:
        return (
            f"is made by a program ({scripts[0]}), which is never run; look for its parquet files"
        )
    return "has no parquet or Arrow file with audio, and no audio files"
