"""ESC-50, environmental sounds: 2000 clips of 5 s, 50 classes, 5 folds (Piczak, 2015).

Also its ten-class part, ESC-10, in a folder of its own: `esc10.csv` with path, fold, label.
"""

from collections.abc import Iterator
from pathlib import Path

from audiotag.data.recordings import FileAudio, Recording
from audiotag.data.sources.collections import (
    CollectionLayout,
    ListedSource,
    find_layout,
    read_table,
    valid_first,
)

HOME = "https://github.com/karolpiczak/ESC-50"
LAYOUTS = (
    CollectionLayout(Path("meta/esc50.csv"), "audio"),  # as in its archive
    CollectionLayout(Path("esc50.csv"), "audio/audio"),  # as on Kaggle
    CollectionLayout(Path("esc50.csv"), "audio"),
)
COLUMNS = ("filename", "fold", "category", "src_file")
PART_TABLE, PART_COLUMNS = "esc10.csv", ("path", "fold", "label")


def open_esc50(folder: Path) -> ListedSource:
    """ESC-50 in one of `LAYOUTS`, or ESC-10; the first fold is the split "valid".

    Raises:
        DataError: If its table is not there or cannot be used.
    """
    layout = find_layout(folder, LAYOUTS)
    part = (folder / PART_TABLE).exists() and not (folder / layout.table).exists()
    return ListedSource(folder, _part(folder) if part else _whole(folder, layout))


def _whole(folder: Path, layout: CollectionLayout) -> Iterator[Recording]:
    for row in read_table(folder / layout.table, COLUMNS, HOME):
        path = f"{layout.audio}/{row['filename']}"
        yield _recording(folder, path, row["category"], int(row["fold"]), row["src_file"])


def _part(folder: Path) -> Iterator[Recording]:
    for row in read_table(folder / PART_TABLE, PART_COLUMNS, HOME):
        yield _recording(folder, row["path"], row["label"], int(row["fold"]), row["path"])


def _recording(folder: Path, path: str, label: str, fold: int, group: str) -> Recording:
    audio, split = FileAudio(folder / path), valid_first(fold)
    return Recording(path, audio, (label,), split, fold, group)
