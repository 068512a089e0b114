"""What a run has measured: a row for each validation, in a file, for TensorBoard, for W&B."""

import json
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from audiotag.errors import RecipeError
from audiotag.models.folder import METRICS_FILE
from audiotag.runtime.files import appended, replaced
from audiotag.training.recipe.toml import Recipe
from audiotag.training.run_folder.tensorboard import event, event_file_header

EVENTS_FILE = "events.out.tfevents.0.audiotag"  # TensorBoard looks for the word tfevents
NO_CURVES = ("step", "time")
ID_LENGTH = 16  # of a run at W&B, which is gone on with under its id
LOWER_IS_BETTER = ("valid_loss",)


class History:
    """The rows of a run folder.

    Args:
        folder: Of the run.
        step: Steps done; rows of later ones, which a killed run has left, are dropped.
        recipe: Of the run; says which metric is to be best, and the W&B project.

    Attributes:
        rows: One for each validation.
    """

    def __init__(self, folder: Path, step: int, recipe: Recipe) -> None:
        self.folder, self.metric = folder, recipe.train.metric
        rows = read_rows(folder / METRICS_FILE)
        self.rows: list[dict[str, float]] = [row for row in rows if row["step"] <= step]
        project = recipe.train.wandb_project
        self._wandb = None if project is None else _open_wandb(folder, project)
        with replaced(folder / METRICS_FILE) as file:
            file.write(b"".join(_line(row) for row in self.rows))
        with replaced(folder / EVENTS_FILE) as file:
            file.write(event_file_header() + b"".join(_event(row) for row in self.rows))

    def add(self, row: dict[str, float]) -> None:
        """Write a row to wherever it is looked at."""
        row = row | {"time": time.time()}
        self.rows.append(row)
        for name, data in ((METRICS_FILE, _line(row)), (EVENTS_FILE, _event(row))):
            with appended(self.folder / name) as file:
                file.write(data)
        if self._wandb is not None:
            self._wandb.log({k: v for k, v in row.items() if k not in NO_CURVES}, int(row["step"]))

    def close(self) -> None:
        """Say that the run has ended."""
        if self._wandb is not None:
            self._wandb.finish()

    def best(self, count: int) -> list[int]:
        """Steps of the best rows, the best first; of equal ones the earliest."""
        sign = 1 if self.metric in LOWER_IS_BETTER else -1
        ranked = sorted(self.rows, key=lambda row: (sign * row[self.metric], row["step"]))
        return [int(row["step"]) for row in ranked[:count]]

    def last(self, count: int) -> list[int]:
        """Steps of the last rows."""
        return [int(row["step"]) for row in self.rows[-count:]]

    def since_best(self) -> int:
        """Validations that have passed since the best one."""
        steps = [int(row["step"]) for row in self.rows]
        return len(steps) - 1 - steps.index(self.best(1)[0]) if steps else 0


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a `metrics.jsonl`; none where there is no such file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may tear the last


def check_wandb(recipe: Recipe) -> None:
    """Raise a RecipeError if W&B is wanted and not installed."""
    if recipe.train.wandb_project is not None and find_spec("wandb") is None:
        raise RecipeError("train.wandb_project needs the package wandb; pip install wandb")


def _line(row: dict[str, float]) -> bytes:
    return f"{json.dumps(row)}\n".encode()


def _event(row: dict[str, float]) -> bytes:
    curves = {k: v for k, v in row.items() if k not in NO_CURVES}
    return event(row.get("time", 0.0), int(row["step"]), curves)


def _open_wandb(folder: Path, project: str) -> Any:
    import wandb

    path = folder.resolve()
    name, known_as = path.name, sha256(str(path).encode()).hexdigest()[:ID_LENGTH]
    return wandb.init(project=project, name=name, id=known_as, resume="allow", dir=folder)
