"""The loop over epochs and steps, from a recipe to a run folder."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from audiotag.data.shards import DATASET_FILE
from audiotag.errors import DataError, ModelError
from audiotag.models.folder import RECIPE_FILE
from audiotag.models.metrics_row import MetricsRow
from audiotag.runtime.distributed import joined_processes
from audiotag.runtime.files import replaced
from audiotag.runtime.lock import locked_folder
from audiotag.runtime.progress import progress_line
from audiotag.training.batches import MicroBatch, prepared
from audiotag.training.loss_watch import LossWatch
from audiotag.training.optim.freezing import set_training
from audiotag.training.probe.probe import save_probe
from audiotag.training.recipe.checks import check_resumed
from audiotag.training.recipe.sections import Recipe
from audiotag.training.recipe.toml import dump_recipe, load_recipe
from audiotag.training.run import Run
from audiotag.training.run_folder.history import check_wandb
from audiotag.training.run_folder.state import STATE_FILE, Position, load_state
from audiotag.training.saver import Saver
from audiotag.training.schedule import slow_average
from audiotag.training.setup import start
from audiotag.training.steps import train_step

LOG_SECONDS = 30.0  # from one line of progress to the next without a terminal
REPORT_STEPS = 20  # reading the loss waits for the device: not every step


@dataclass
class EpochProgress:
    """The progress of an epoch.

    Attributes:
        loss: Sum of the losses of its steps, of this process's share.
        started: When it was started or resumed, in seconds of the monotonic clock.
        first: First step since then.
        waited: Seconds spent waiting for data since then.
    """

    loss: Tensor
    started: float
    first: int
    waited: float = 0.0


def train(
    recipe: Recipe, data: Path, out: Path, device: torch.device, resume: bool = False
) -> Path:
    """Train a model and write its run folder.

    Args:
        recipe: The recipe.
        data: A prepared data set.
        out: The run folder: model, resolved recipe, `data.json` (the clips), `metrics.jsonl`,
            TensorBoard's events, resumable state, and the weights of the last and best epochs.
        device: Where to train.
        resume: Continue from the state in `out`, with the same recipe and the same clips, or from
            the beginning where the run ended before it had saved any, or before it was there.

    Returns:
        `out`.

    Under torchrun all processes share each batch, and the first one writes the folder.

    Raises:
        RecipeError, DataError, ModelError: If the parts do not fit, the loss is not finite, or the
            device has too little memory.
        OutputError: If `out` cannot be written, or another process trains into it.
    """
    _check_folder(out, resume, recipe)
    check_wandb(recipe)
    with joined_processes() as rank, _claimed(out, resume, recipe, rank):
        if device.type == "cuda":  # with its number: background threads would use the first GPU
            device = torch.device("cuda", torch.cuda.current_device())
        try:
            _train(recipe, data, out, device, rank, resume)
        except torch.OutOfMemoryError as error:
            size = recipe.train
            now = size.micro_batch or f"a process's share of train.batch_size, {size.batch_size}"
            raise ModelError(
                f"out of memory on {device}; lower train.micro_batch (now {now}) with --set"
            ) from error
    return out


def _train(
    recipe: Recipe, data: Path, out: Path, device: torch.device, rank: int, resume: bool
) -> None:
    """Train in one process."""
    run = start(recipe, data, device, rank, out if resume else None)
    slow = slow_average(recipe, run.schedule)
    if slow is not None and rank == 0:
        tqdm.write(f"warning: {slow}", file=sys.stderr)
    position = Position()
    if resume and (out / STATE_FILE).exists():
        student = run.student
        position = load_state(out, student.modules, student.optimizer, student.scaler)
    if rank == 0:
        with replaced(out / RECIPE_FILE) as file:
            file.write(dump_recipe(recipe).encode())
        run.trained_on.save(out)
        if run.probe is not None:
            save_probe(run.probe, out)
    saver = Saver(run, out, position.step)
    if run.probe is not None and not position.step:
        saver.validate(MetricsRow(lr=run.rate(0)))  # the probe, which training must beat
    _train_epochs(run, saver, position)


@contextmanager
def _claimed(out: Path, resume: bool, recipe: Recipe, rank: int) -> Iterator[None]:
    """A context in which only this run, and only its first process, writes the folder."""
    if rank:
        yield
        return
    held = f"another process trains into {out}; wait for it, or choose another --out"
    with locked_folder(out, held):
        _check_folder(out, resume, recipe)  # again: a run may have ended meanwhile
        yield


def _check_folder(out: Path, resume: bool, recipe: Recipe) -> None:
    if (out / DATASET_FILE).exists():
        raise DataError(f"{out} is a data set; choose another folder for the run")
    has_run = (out / RECIPE_FILE).exists()
    if has_run and not resume:
        raise DataError(f"{out} holds a run already; add --resume or choose another folder")
    if has_run:
        check_resumed(out, load_recipe(out / RECIPE_FILE), recipe)


def _train_epochs(run: Run, saver: Saver, position: Position) -> None:
    steps, step = run.schedule.steps_per_epoch, position.step
    with progress_line(
        "train",
        run.schedule.total_steps * run.schedule.batch_size,
        "clips",
        initial=step * run.schedule.batch_size,
        is_hidden=run.schedule.rank > 0 or not run.schedule.total_steps,
        log_every=LOG_SECONDS,
    ) as line:
        while step < run.schedule.total_steps and not saver.has_converged():
            row = _train_epoch(run, saver, Position(step, position.loss), line)
            step, position = (step // steps + 1) * steps, Position()
            if step == run.schedule.total_steps or step // steps % run.recipe.train.save_every == 0:
                saver.validate(row)
            elif saver.saves_after(step):
                saver.save(Position(step))
    saver.finish()


def _train_epoch(run: Run, saver: Saver, position: Position, line: tqdm) -> MetricsRow:
    """Train from a position in an epoch to its end; returns its figures."""
    set_training(run.student.tagger, keeps_statistics=run.probe is not None)
    epoch, watch = position.step // run.schedule.steps_per_epoch, LossWatch(run.training.keys)
    end = (epoch + 1) * run.schedule.steps_per_epoch
    loss = torch.tensor(0.0 if run.schedule.rank else position.loss, device=run.device)
    progress = EpochProgress(loss, time.monotonic(), position.step)
    micro_batches = prepared(run, epoch, position.step)
    for step in range(position.step, end):
        of_step = _micro_batches_of_step(run, micro_batches, progress)
        progress.loss += train_step(run, of_step, step, watch)
        line.update(run.schedule.batch_size)
        saves = saver.saves_after(step + 1) and step + 1 < end
        if step % REPORT_STEPS == 0 or saves or step + 1 == end:
            watch.check()
            _show_progress(run, line, progress, step)
        if saves:
            saver.save(Position(step + 1, _sum_of_losses(run, progress)))
    return _figures(run, progress, end)


def _micro_batches_of_step(
    run: Run, micro_batches: Iterator[MicroBatch], progress: EpochProgress
) -> Iterator[MicroBatch]:
    """This process's micro batches of a step; adds the time spent waiting for each."""
    for _ in range(run.schedule.micro_batches // run.schedule.processes):
        asked = time.monotonic()
        micro_batch = next(micro_batches)
        progress.waited += time.monotonic() - asked
        yield micro_batch


def _show_progress(run: Run, line: tqdm, progress: EpochProgress, step: int) -> None:
    steps = step + 1 - run.schedule.steps_per_epoch * (step // run.schedule.steps_per_epoch)
    loss = float(progress.loss) * run.schedule.processes / steps
    waits = progress.waited / max(time.monotonic() - progress.started, 1e-9)
    line.set_postfix(loss=f"{loss:.4f}", lr=f"{run.rate(step):.2e}", data_wait=f"{waits:.0%}")


def _figures(run: Run, progress: EpochProgress, end: int) -> MetricsRow:
    """The epoch's figures at its last step; speed and waiting are since its start or resume."""
    steps = run.schedule.steps_per_epoch
    loss = _sum_of_losses(run, progress)
    seconds = time.monotonic() - progress.started
    return MetricsRow(
        epoch=end // steps,
        step=end,
        train_loss=loss / steps,
        lr=run.rate(end),
        clips_per_second=(end - progress.first) * run.schedule.batch_size / seconds,
        data_wait=progress.waited / seconds,
    )


def _sum_of_losses(run: Run, progress: EpochProgress) -> float:
    """The sum of the epoch's losses so far, over all processes.

    From then on only the first process holds it, as after a resume.
    """
    if run.schedule.processes > 1:
        dist.all_reduce(progress.loss)
    loss = float(progress.loss)
    if run.schedule.rank:
        progress.loss.zero_()
    return loss
