"""UrbanSound8K: 8732 clips of at most 4 s, 10 classes, 10 folds (Salamon et al., 2014)."""

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

HOME = "https://zenodo.org/records/1203745"
LAYOUTS = (
    CollectionLayout(Path("metadata/UrbanSound8K.csv"), "audio"),  # as in its archive
    CollectionLayout(Path("UrbanSound8K.csv"), "."),  # as on Kaggle
)
COLUMNS = ("slice_file_name", "fsID", "fold", "class")


def open_urbansound8k(folder: Path) -> ListedSource:
    """UrbanSound8K in one of `LAYOUTS`; the first fold is the split "valid".

    Raises:
        DataError: If its table is not there or cannot be used.
    """
    return ListedSource(folder, _recordings(folder))


def _recordings(folder: Path) -> Iterator[Recording]:
    layout = find_layout(folder, LAYOUTS)
    for row in read_table(folder / layout.table, COLUMNS, HOME):
        fold = int(row["fold"])
        path = (Path(layout.audio) / f"fold{fold}" / row["slice_file_name"]).as_posix()
        audio, split = FileAudio(folder / path), valid_first(fold)
        yield Recording(path, audio, (row["class"],), split, fold, group=row["fsID"])
