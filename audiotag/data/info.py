"""`dataset.json`: what a prepared data set says of itself."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audiotag.data.shards import DATASET_FILE, REMEDY
from audiotag.errors import DataError
from audiotag.runtime.files import replaced

TYPES: dict[str, type | tuple[type, ...]] = {  # of the file's values
    "clips": int,
    "hours": (int, float),
    "labels": int,
    "sample_rate": int,
    "splits": dict,
    "failures": dict,
    "settings": dict,
    "versions": dict,
}


@dataclass(frozen=True)
class SplitInfo:
    """A split: its number of clips, and the hash of their keys."""

    clips: int
    keys: str


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What a prepared data set says of itself; only the sample rate must be known to read clips.

    Attributes:
        clips: How many clips.
        hours: How long they are.
        labels: How many labels.
        sample_rate: Hz.
        splits: By name.
        failures: Number of clips and recordings left out, by kind.
        settings: How it was made: `prepare.plan.PreparationPlan.settings`.
        versions: Of the packages that made it, by name.
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
    known = {name: values[name] for name in TYPES if name in values}
    wrong = [name for name in known if not isinstance(known[name], TYPES[name])]
    if wrong:
        raise damaged(path, f"{wrong[0]} is {known[wrong[0]]!r}")
    try:
        splits = {name: SplitInfo(**split) for name, split in known.pop("splits", {}).items()}
    except TypeError as error:
        raise damaged(path, f"splits: {error}") from error
    return DatasetInfo(**known, splits=splits)


def read_json(path: Path) -> Any:
    """What a JSON file in the folder of a data set holds.

    Raises:
        DataError: If it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise not_prepared(path.parent, error) from error


def damaged(path: Path, reason: str) -> DataError:
    """An error that says that a file of a data set is damaged, and what to do."""
    return DataError(f"{path} is damaged ({reason}); remove {path.parent} and prepare it again")


def not_prepared(folder: Path, error: Exception) -> DataError:
    """An error that says that a folder is no data set, and what to do."""
    return DataError(
        f"{folder} is not a prepared data set ({error}); make one with audiotag prepare"
    )
