"""FSD50K: 51,197 clips of 0.3 to 30 s, 200 classes, several a clip (arXiv 2010.00475)."""

import csv
from collections.abc import Iterator
from pathlib import Path

from audiotag.data.recordings import FileAudio, Recording
from audiotag.data.sources.collections import (
    CollectionLayout,
    ListedSource,
    find_layout,
    read_table,
)
from audiotag.data.sources.splits import TRAIN, VALID, split_named
from audiotag.errors import DataError

HOME = "https://zenodo.org/records/4060432"
TABLES = Path("FSD50K.ground_truth")
DEV_TABLE, DEV_AUDIO = TABLES / "dev.csv", "FSD50K.dev_audio"
EVAL_TABLE, EVAL_AUDIO = TABLES / "eval.csv", "FSD50K.eval_audio"
VOCABULARY = TABLES / "vocabulary.csv"
COLUMNS = ("fname", "labels")
SPLITS = (TRAIN, VALID)  # of the development part


def open_fsd50k(folder: Path) -> ListedSource:
    """FSD50K as its archives have it, in the folder or in one of its sub-folders, with its splits:
    "train", "valid" and "eval".

    Raises:
        DataError: If a table is not there or cannot be used.
    """
    layout = find_layout(folder, (CollectionLayout(DEV_TABLE, DEV_AUDIO),))
    folder = (folder / layout.table).parents[1]
    return ListedSource(folder, _recordings(folder), _labels(folder / VOCABULARY))


def _recordings(folder: Path) -> Iterator[Recording]:
    for row in read_table(folder / DEV_TABLE, (*COLUMNS, "split"), HOME):
        split = split_named(row["split"])
        if split not in SPLITS:
            raise DataError(f"{folder / DEV_TABLE}: split {row['split']!r} is not train or val")
        yield _recording(folder, DEV_AUDIO, row, split)
    for row in read_table(folder / EVAL_TABLE, COLUMNS, HOME):
        yield _recording(folder, EVAL_AUDIO, row, "eval")


def _recording(folder: Path, audio: str, row: dict[str, str], split: str) -> Recording:
    path = f"{audio}/{row['fname']}.wav"
    labels = tuple(row["labels"].split(","))
    return Recording(path, FileAudio(folder / path), labels, split)


def _labels(path: Path) -> tuple[str, ...]:
    """Names in the order of the vocabulary, whose rows are number, name, mid."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(name for _, name, _ in csv.reader(file))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); get it again from {HOME}") from error
