"""`dataset.json`: the description of a prepared data set."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audiotag.data.shards import DATASET_FILE, LABELS_FILE, REMEDY
from audiotag.errors import DataError, ModelError
from audiotag.label_set import Labels
from audiotag.runtime.files import replaced
from audiotag.runtime.json_text import parse_json, shown
from audiotag.runtime.records import read_record

NAMES = (  # of the file's values
    *("clips", "hours", "labels", "sample_rate"),
    *("splits", "failures", "settings", "versions"),
)
PLAIN = (str, int, float, bool, type(None))
TABLES: dict[str, tuple[type, ...]] = {  # those that are tables, and the types of their values
    "failures": (int,),
    "settings": PLAIN,
    "versions": (str,),
}
MAX_RATE = 10_000_000  # Hz


@dataclass(frozen=True)
class SplitInfo:
    """A split: its number of clips, and the hash of their keys."""

    clips: int
    keys: str


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The description of a prepared data set; to read clips, only the sample rate is needed.

    Attributes:
        clips: Number of clips.
        hours: Their total length.
        labels: Number of labels.
        sample_rate: Hz.
        splits: By name.
        failures: Number of clips and recordings left out, by kind, and of those that are doubtful.
        settings: How it was made: `prepare.plan.PreparationPlan.settings`.
        versions: Versions of the packages that made it, by name.
    """

    clips: int = 0
    hours: float = 0.0
    labels: int = 0
    sample_rate: int
    splits: dict[str, SplitInfo] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `dataset.json` into the folder of a data set.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        with replaced(folder / DATASET_FILE, REMEDY) as file:
            file.write(f"{text}\n".encode())


def read_info(folder: Path) -> DatasetInfo:
    """The `dataset.json` in the folder of a data set.

    Raises:
        DataError: If it is missing or damaged.
    """
    path = folder / DATASET_FILE
    values = read_json(path)
    if not isinstance(values, dict) or "sample_rate" not in values:
        raise damaged(path, "it names no sample_rate")
    known = {name: values[name] for name in NAMES if name in values}
    try:
        splits = _splits(known.pop("splits", {}))
        _check(known)
        return read_record(DatasetInfo, known, splits=splits)
    except (ValueError, TypeError) as error:
        raise damaged(path, str(error)) from error


def _splits(values: Any) -> dict[str, SplitInfo]:
    try:
        return {name: read_record(SplitInfo, split) for name, split in dict(values).items()}
    except (ValueError, TypeError) as error:
        raise ValueError(f"splits: {error}") from error


def _check(values: dict[str, Any]) -> None:
    """Raise a ValueError if a table of `dataset.json`, or its sample rate, has a wrong type."""
    for name, kinds in TABLES.items():
        table = values.get(name, {})
        if not isinstance(table, dict) or not all(type(x) in kinds for x in table.values()):
            raise ValueError(f"{name} is {shown(table)}")
    rate = values["sample_rate"]
    if type(rate) is not int or not 1 <= rate <= MAX_RATE:
        raise ValueError(f"sample_rate is {shown(rate)}")


def read_names(folder: Path) -> list[str]:
    """The label names of a data set, in order.

    Raises:
        DataError: If they are missing or damaged.
    """
    path = folder / LABELS_FILE
    names = read_json(path)
    if not isinstance(names, list):
        raise damaged(path, f"it holds {shown(names)}")
    try:
        return list(Labels(names).names)
    except ModelError as error:
        raise damaged(path, str(error)) from error


def read_json(path: Path) -> Any:
    """The value in a JSON file of a data set.

    Raises:
        DataError: If it is missing or damaged.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise not_prepared(path.parent, error) from error


def damaged(path: Path, reason: str) -> DataError:
    """The error for a damaged file of a data set, with the remedy."""
    return DataError(f"{path} is damaged ({reason}); remove {path.parent} and prepare it again")


def not_prepared(folder: Path, error: Exception) -> DataError:
    """The error for a folder that is not a data set, with the remedy."""
    return DataError(
        f"{folder} is not a prepared data set ({error}); make one with audiotag prepare"
    )
