"""`metrics.jsonl` in a run folder: one row of figures for each validation."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from audiotag.errors import ModelError
from audiotag.models.folder import METRICS_FILE, regular
from audiotag.runtime.json_text import parse_json, shown
from audiotag.runtime.records import read_record

NO_CURVES = ("step", "time")  # what a curve is drawn over
ABOUT = ("weights_sha256", "data", "split", "fold", "audiotag")  # what figures are of


@dataclass(frozen=True)
class MetricsRow:
    """The figures of one validation, and of the epoch before it.

    A figure that was not measured is None, and absent in the file.

    Attributes:
        epoch: Epochs done.
        step: Steps done.
        train_loss: Mean loss of the epoch's steps.
        lr: Learning rate after the epoch.
        clips_per_second: Clips trained on per second.
        data_wait: Fraction of the time in which training waited for data.
        valid_loss: Loss on the validation clips.
        valid_accuracy: Fraction of them whose first tag is their label; only if each has one.
        valid_map: Mean average precision on them.
        time: When the row was written, in seconds since 1970.
        weights_sha256: Of the file of the weights that were measured, as tags name it too.
        data: Hash of the validation clips' keys, sounds and labels, as an evaluation has it.
        split: Their split, as an evaluation says it.
        fold: Their fold.
        audiotag: The version that measured.
        others: Figures under names that this version of audiotag does not know.
    """

    epoch: int = 0
    step: int = 0
    train_loss: float | None = None
    lr: float | None = None
    clips_per_second: float | None = None
    data_wait: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None
    valid_map: float | None = None
    time: float | None = None
    weights_sha256: str | None = None
    data: str | None = None
    split: str | None = None
    fold: int | None = None
    audiotag: str | None = None
    others: dict[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """The figures that were measured and are finite, by name, in the order of the file."""
        values = asdict(self)
        values |= values.pop("others")
        return {k: x for k, x in values.items() if k not in ABOUT and _is_number(x)}

    @property
    def curves(self) -> dict[str, float]:
        """The figures that are drawn as curves over steps or time."""
        return {name: value for name, value in self.figures.items() if name not in NO_CURVES}

    def to_json(self) -> str:
        """The row as `metrics.jsonl` has it."""
        about = {name: getattr(self, name) for name in ABOUT}
        known = {name: value for name, value in about.items() if value is not None}
        return json.dumps(self.figures | known, ensure_ascii=False, allow_nan=False)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number: JSON has no word for others, and nothing ranks them."""
    return isinstance(value, int | float) and math.isfinite(value)


def read_metrics(folder: Path) -> list[MetricsRow]:
    """The rows of a run folder's `metrics.jsonl`; none if there is no such file.

    Raises:
        ModelError: If a row is damaged.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        return []
    try:
        lines = regular(path).read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]  # a kill may leave half a line
        return [_read_row(line) for line in whole]
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); delete it") from error


def _read_row(line: str) -> MetricsRow:
    values = parse_json(line)
    if not isinstance(values, dict):
        raise ValueError(f"{shown(values)} is not a row")
    known = {x.name for x in fields(MetricsRow)} - {"others"}
    others = {name: value for name, value in values.items() if name not in known}
    row = {name: value for name, value in values.items() if name in known}
    return read_record(MetricsRow, row, others=others)
