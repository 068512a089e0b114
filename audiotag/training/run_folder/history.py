"""The figures of a run: a row for each validation, in a file, in TensorBoard and in W&B."""

import time
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from audiotag.errors import RecipeError
from audiotag.models.folder import METRICS_FILE
from audiotag.models.metrics_row import MetricsRow, read_metrics
from audiotag.runtime.files import appended, replaced
from audiotag.training.recipe.sections import Recipe
from audiotag.training.run_folder.gain import is_gain
from audiotag.training.run_folder.tensorboard import event, event_file_header

EVENTS_FILE = "events.out.tfevents.0.audiotag"  # TensorBoard looks for the word tfevents
ID_LENGTH = 16  # of a run's id at W&B, under which it is resumed
LOWER_IS_BETTER = ("valid_loss",)


class History:
    """The rows of a run folder.

    Args:
        folder: The run folder.
        step: Steps done; rows of later steps, which a killed run may have left, are dropped.
        recipe: The run's recipe; it names the metric of the best row, and the W&B project.

    Attributes:
        rows: One for each validation.
    """

    def __init__(self, folder: Path, step: int, recipe: Recipe) -> None:
        self.folder, self.metric = folder, recipe.train.metric
        self._keeps_best = recipe.train.final == "best"
        self.rows = [row for row in read_metrics(folder) if row.step <= step]
        project = recipe.train.wandb_project
        self._wandb = None if project is None else _open_wandb(folder, project)
        with replaced(folder / METRICS_FILE) as file:
            file.write(b"".join(_line(row) for row in self.rows))
        with replaced(folder / EVENTS_FILE) as file:
            file.write(event_file_header() + b"".join(_event(row) for row in self.rows))

    def add(self, row: MetricsRow) -> None:
        """Write a row, with the time, to `metrics.jsonl`, for TensorBoard and for W&B."""
        row = replace(row, time=time.time())
        self.rows.append(row)
        for name, data in ((METRICS_FILE, _line(row)), (EVENTS_FILE, _event(row))):
            with appended(self.folder / name) as file:
                file.write(data)
        if self._wandb is not None:
            self._wandb.log(row.curves, row.step)

    def close(self) -> None:
        """Tell W&B that the run has ended."""
        if self._wandb is not None:
            self._wandb.finish()

    def best(self, count: int) -> list[int]:
        """Steps of the best rows, the best first; of equal ones the earliest.

        Rows without the figure, or with NaN, are not among them; if no row has it, the last rows
        are returned.
        """
        sign = 1 if self.metric in LOWER_IS_BETTER else -1
        measured = [row for row in self.rows if self.metric in row.figures]
        ranked = sorted(measured, key=lambda row: (sign * row.figures[self.metric], row.step))
        return [row.step for row in ranked[:count]] or self.last(count)[::-1]

    def last(self, count: int) -> list[int]:
        """Steps of the last rows."""
        return [row.step for row in self.rows[-count:]]

    def since_best(self) -> int:
        """Validations that have passed since the best one."""
        steps = [row.step for row in self.rows]
        return len(steps) - 1 - steps.index(self.best(1)[0]) if steps else 0

    def is_over(self, patience: int, clips: int) -> bool:
        """Whether so many validations have passed without a better one; after a perfect one, than
        which none is better, one more suffices, and none where the start is kept and so good that
        no gain on so many clips could be told from chance.
        """
        best = [row for row in self.rows if row.step in self.best(1)]
        if best and self.metric not in LOWER_IS_BETTER:
            figure = best[0].figures.get(self.metric, 0.0)
            if best[0].step == 0 and self._keeps_best and not is_gain(figure, 1.0, clips):
                return True
            patience = min(patience, 1) if figure == 1 else patience
        return bool(best) and self.since_best() >= patience


def check_wandb(recipe: Recipe) -> None:
    """Raise a RecipeError if W&B is wanted and not installed."""
    if recipe.train.wandb_project is not None and find_spec("wandb") is None:
        raise RecipeError("train.wandb_project needs the package wandb; pip install wandb")


def _line(row: MetricsRow) -> bytes:
    return f"{row.to_json()}\n".encode()


def _event(row: MetricsRow) -> bytes:
    return event(row.time or 0.0, row.step, row.curves)


def _open_wandb(folder: Path, project: str) -> Any:
    import wandb

    path = folder.resolve()
    run_id = sha256(str(path).encode()).hexdigest()[:ID_LENGTH]
    return wandb.init(project=project, name=path.name, id=run_id, resume="allow", dir=folder)
