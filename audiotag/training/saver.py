"""Writing a run folder, in an order in which a kill at any time does no harm.

The resumable state is written last. A resumed run drops or rewrites the files of later steps.
"""

from dataclasses import replace
from pathlib import Path

import torch.distributed as dist
from tqdm import tqdm

from audiotag.models.folder import WEIGHTS_FILE
from audiotag.models.metrics_row import MetricsRow
from audiotag.runtime.files import PARTIAL, sweep
from audiotag.runtime.hashes import sha256_of
from audiotag.runtime.version import __version__
from audiotag.training.run import Run
from audiotag.training.run_folder.history import History
from audiotag.training.run_folder.kept_weights import FOLDER, drop_others, finish, keep
from audiotag.training.run_folder.state import Position, save_state
from audiotag.training.validation import Validation, validate


class Saver:
    """Writes a run folder, only in the first process.

    Args:
        run: The run.
        folder: Its folder.
        step: Steps done.
    """

    def __init__(self, run: Run, folder: Path, step: int) -> None:
        self.run, self.folder = run, folder
        if run.schedule.rank == 0:
            for place in (folder, folder / FOLDER):
                sweep(place, PARTIAL)
        self.history = None if run.schedule.rank else History(folder, step, run.recipe)

    def saves_after(self, step: int) -> bool:
        """Whether to save the state after this step, within an epoch."""
        every = self.run.recipe.train.save_steps
        return every is not None and step % every == 0

    def save(self, position: Position) -> None:
        """Write the resumable state."""
        if self.run.schedule.rank == 0:
            student = self.run.student
            save_state(self.folder, position, student.modules, student.optimizer, student.scaler)

    def validate(self, row: MetricsRow) -> None:
        """Measure the model, and write it, its figures and the state; other processes wait.

        Args:
            row: The figures of the epoch; those of the validation are added.
        """
        if self.history is not None:
            step, count = row.step, self.run.recipe.train.keep
            measured = validate(self.run)
            self.run.student.saved_tagger.save(self.folder)
            weights = sha256_of(self.folder / WEIGHTS_FILE)
            self.history.add(_with_validation(row, measured, self.run, weights))
            keep(self.folder, step, self.run.student.saved_tagger.backbone)
            self.save(Position(step))
            # If the start was measured it is kept too, as it may be the best.
            drop_others(self.folder, [0, *self.history.last(count), *self.history.best(count)])
            _print(self.history.rows[-1])
        if self.run.schedule.processes > 1:
            dist.barrier()

    def has_converged(self) -> bool:
        """Whether `train.patience` validations have passed without a better one, or one after a
        perfect one."""
        patience = self.run.recipe.train.patience
        if patience is None:
            return False
        answer = [
            self.history is not None and self.history.is_over(patience, len(self.run.validation))
        ]
        if self.run.schedule.processes > 1:
            dist.broadcast_object_list(answer)
        return answer[0]

    def finish(self) -> None:
        """Write the weights that `train.final` names as the folder's weights."""
        if self.history is not None:
            recipe = self.run.recipe.train
            finish(self.folder, self.history, recipe.final, recipe.keep)
            self.history.close()


def _with_validation(row: MetricsRow, measured: Validation, run: Run, weights: str) -> MetricsRow:
    """A row with what was measured, of which weights and which clips."""
    valid = run.trained_on.valid
    return replace(
        row,
        valid_loss=measured.loss,
        valid_accuracy=measured.accuracy,
        valid_map=measured.mean_average_precision,
        weights_sha256=weights,
        data=valid.hash,
        split=valid.split_name,
        fold=valid.fold,
        audiotag=__version__,
    )


def _print(row: MetricsRow) -> None:
    tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in row.figures.items() if k != "time"))
