"""The results of a sweep, a row for each combination of values, and their table."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audiotag.models.evaluation_record import Figure
from audiotag.runtime.files import replaced

TABLE_FILE, PLOT_FILE = "sweep.csv", "sweep.png"
FOLLOWED = "mAP by the teacher's tags"  # for clips without labels, as in the run's validation


@dataclass(frozen=True)
class Outcome:
    """How good a combination is.

    Attributes:
        figure: "accuracy" if each clip has exactly one label, `FOLLOWED` if none has a label, else
            "mAP".
        value: The figure on clips that were not trained on, with its interval; `FOLLOWED` has no
            interval.
        clips: Number of these clips.
        keys: Hash of their keys.
    """

    figure: str
    value: Figure
    clips: int
    keys: str


@dataclass(frozen=True)
class SweepRow:
    """The result of one combination.

    Attributes:
        name: The name of its folder.
        values: Its values, as `key=value`.
        outcome: How good it is.
        parameters: Trainable numbers.
        clips_per_second: Throughput from waveforms to scores, folded, timed in turn with the
            others.
    """

    name: str
    values: tuple[str, ...]
    outcome: Outcome
    parameters: int
    clips_per_second: float


def write_table(rows: Sequence[SweepRow], path: Path) -> None:
    """Write the table, with a column for each key that varies."""
    header = [value.partition("=")[0] for value in rows[0].values]
    header += [rows[0].outcome.figure, "low", "high", "clips", "keys"]
    header += ["parameters", "clips_per_second"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values = [value.partition("=")[2] for value in row.values]
        reached, speed = row.outcome, f"{row.clips_per_second:.2f}"
        ends = [reached.value.value, reached.value.low, reached.value.high]
        texts = ["" if math.isnan(x) else f"{x:.6f}" for x in ends]
        writer.writerow([*values, *texts, reached.clips, reached.keys, row.parameters, speed])
    with replaced(path) as file:
        file.write(text.getvalue().encode())
