"""UrbanSound8K: 8732 clips of at most 4 s, 10 classes, 10 folds (Salamon et al., 2014)."""

from collections.abc import Iterator
from pathlib import Path

from audiotag.data.recordings import FileAudio, Recording
from audiotag.data.sources.collections import ListedSource, read_table, valid_first

HOME = "https://zenodo.org/records/1203745"
TABLE = Path("metadata") / "UrbanSound8K.csv"
COLUMNS = ("slice_file_name", "fsID", "fold", "class")


def open_urbansound8k(folder: Path) -> ListedSource:
    """UrbanSound8K as its archive has it; the first fold is the split "valid".

    Raises:
        DataError: If its table is not there or cannot be used.
    """
    return ListedSource(folder, _recordings(folder))


def _recordings(folder: Path) -> Iterator[Recording]:
    for row in read_table(folder / TABLE, COLUMNS, HOME):
        fold = int(row["fold"])
        path = f"audio/fold{fold}/{row['slice_file_name']}"
        audio, split = FileAudio(folder / path), valid_first(fold)
        yield Recording(path, audio, (row["class"],), split, fold, group=row["fsID"])
