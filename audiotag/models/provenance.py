"""`data.json` in a run folder: the clips that the model was trained and measured on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audiotag.errors import ModelError
from audiotag.models.folder import DATA_FILE, regular
from audiotag.runtime.files import replaced
from audiotag.runtime.json_text import parse_json, shown
from audiotag.runtime.records import read_record

Share = tuple[int, int]  # of the recordings, numbered 0 to 99: first, end


@dataclass(frozen=True)
class Part:
    """A selection of the clips of a data set.

    Attributes:
        clips: How many.
        hours: How long they are.
        keys: Hash of their keys, as an evaluation on them has.
        sounds: Hash of their keys and sounds; None where an older version wrote the file.
        hash: Hash of their keys, sounds and labels, as an evaluation on them has; None likewise.
        split, fold, without_fold, share: Which of the data set's clips they are: arguments of
            `ClipDataset`.
    """

    clips: int
    hours: float
    keys: str
    sounds: str | None = None
    hash: str | None = None
    split: str | None = None
    fold: int | None = None
    without_fold: int | None = None
    share: Share | None = None

    @property
    def split_name(self) -> str | None:
        """The split, with the share of its recordings where not all are meant; None for all."""
        return part_name(self.split, self.share)


def part_name(split: str | None, share: Share | None) -> str | None:
    """A split, with the share of its recordings, such as `train[0%:20%]`."""
    return split if share is None else f"{split}[{share[0]}%:{share[1]}%]"


@dataclass(frozen=True)
class TrainedOn:
    """The clips of a run.

    Attributes:
        name: Name of the data set's folder.
        train: The clips it was trained on.
        valid: The clips it was measured on.
        labels: Hash of the names of what it learns, in their order; None where an older version
            wrote the file.
    """

    name: str
    train: Part
    valid: Part
    labels: str | None = None

    def save(self, folder: Path) -> None:
        """Write `data.json` into a run folder."""
        with replaced(folder / DATA_FILE) as file:
            file.write(f"{json.dumps(asdict(self), ensure_ascii=False)}\n".encode())


def read_trained_on(folder: Path) -> TrainedOn | None:
    """What the model in a folder was trained on; None if the folder does not say.

    Raises:
        ModelError: If its `data.json` is damaged.
    """
    path = folder / DATA_FILE
    if not path.exists():
        return None
    try:
        values = parse_json(regular(path).read_text(encoding="utf-8"))
        train, valid = (_part(values[name]) for name in ("train", "valid"))
        return read_record(TrainedOn, values, train=train, valid=valid)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); delete it") from error


def _part(values: Any) -> Part:
    """A `Part` from the values in a file; errors as `read_record`."""
    share = values.get("share") if isinstance(values, dict) else None
    if share is None:
        return read_record(Part, values)
    first, last = share
    if not (type(first) is type(last) is int and 0 <= first < last <= 100):
        raise ValueError(f"share is {shown(share)}")
    return read_record(Part, values, share=(first, last))
