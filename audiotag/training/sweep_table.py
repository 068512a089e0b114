"""The results of a sweep, a row for each combination of values, and their table."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audiotag.models.evaluation_record import Figure
from audiotag.runtime.files import replaced
from audiotag.runtime.version import __version__

TABLE_FILE, PLOT_FILE = "sweep.csv", "sweep.png"
ABOUT = "data_hash", "split", "fold", "weights_sha256"  # what a figure is of
FOLLOWED = "mAP by the teacher's tags"  # of clips without labels, as the run's validation has it


@dataclass(frozen=True)
class Outcome:
    """How good a combination is.

    Attributes:
        figure: "accuracy" where each clip has one label, "mAP" where they have others, `FOLLOWED`
            where none has any.
        value: The figure on the clips that were not trained on, with its interval; that of
            `FOLLOWED` has none.
        clips: How many those are.
        keys: Hash of their names.
        data_hash: Hash of their names, sounds and labels.
        split, fold: Which of the data set's clips they are, as an evaluation says it.
        weights_sha256: Of the run's weights, as an evaluation has it.
    """

    figure: str
    value: Figure
    clips: int
    keys: str
    data_hash: str
    split: str | None
    fold: int | None
    weights_sha256: str | None


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
    header += ["parameters", "clips_per_second", *ABOUT, "audiotag"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        values = [value.partition("=")[2] for value in row.values]
        reached, speed = row.outcome, f"{row.clips_per_second:.2f}"
        ends = [reached.value.value, reached.value.low, reached.value.high]
        texts = ["" if math.isnan(x) else f"{x:.6f}" for x in ends]
        about = [getattr(reached, name) for name in ABOUT]
        counts = [reached.clips, reached.keys, row.parameters, speed]
        writer.writerow([*values, *texts, *counts, *about, __version__])
    with replaced(path) as file:
        file.write(text.getvalue().encode())
