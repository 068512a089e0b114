"""The loop over epochs and steps, from a recipe to a run folder."""

import time
from collections.abc import Iterator
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
from audiotag.training.batches import MicroBatch, prepared
from audiotag.training.loss_watch import Watch
from audiotag.training.optim.freezing import set_training
from audiotag.training.recipe.checks import check_resumed
from audiotag.training.recipe.toml import Recipe, dump_recipe, load_recipe
from audiotag.training.run import Run
from audiotag.training.run_folder.history import check_wandb
from audiotag.training.run_folder.state import STATE_FILE, Position, load_state
from audiotag.training.saver import Saver
from audiotag.training.setup import start
from audiotag.training.steps import step_of

REPORT_STEPS = 20  # reading the loss waits for the device: not every step


@dataclass
class Progress:
    """How an epoch goes.

    Attributes:
        loss: Sum over its steps, of this process's share.
        began: When it was begun or gone on with, in seconds.
        first: Step that was the first since then.
        waited: Seconds spent waiting for data since then.
    """

    loss: Tensor
    began: float
    first: int
    waited: float = 0.0


def train(
    recipe: Recipe, data: Path, out: Path, device: torch.device, resume: bool = False
) -> Path:
    """Train a model and write its run folder.

    Args:
        recipe: What to do.
        data: A prepared data set.
        out: The run folder: model, resolved recipe, `data.json` (the clips), `metrics.jsonl`,
            TensorBoard's events, resumable state, and the weights of the last and best epochs.
        device: Where to train.
        resume: Go on from the state in `out`; from the beginning where the run was ended before it
            had left any.

    Returns:
        `out`.

    Under torchrun all processes work on each batch, and the first one writes.

    Raises:
        RecipeError, DataError, ModelError: If the parts do not fit, the loss is not finite, or the
            device's memory does not do.
    """
    _check_folder(out, resume, recipe)
    check_wandb(recipe)
    with joined_processes() as rank:
        if device.type == "cuda":  # by its number: threads that prepare data would take the first
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
    """What `train` does in each process."""
    run = start(recipe, data, device, rank)
    position = Position()
    if resume and (out / STATE_FILE).exists():
        student = run.student
        position = load_state(out, student.modules, student.optimizer, student.scaler)
    if rank == 0:
        with replaced(out / RECIPE_FILE) as file:
            file.write(dump_recipe(recipe).encode())
        run.trained_on.save(out)
    _train_epochs(run, Saver(run, out, position.step), position)


def _check_folder(out: Path, resume: bool, recipe: Recipe) -> None:
    if (out / DATASET_FILE).exists():
        raise DataError(f"{out} is a data set; choose another folder for the run")
    has_run = (out / RECIPE_FILE).exists()
    if has_run and not resume:
        raise DataError(f"{out} holds a run already; add --resume or choose another folder")
    if resume and not has_run:
        raise ModelError(f"{out} cannot be resumed: it holds no run; leave out --resume")
    if resume:
        check_resumed(out, load_recipe(out / RECIPE_FILE), recipe)


def _train_epochs(run: Run, saver: Saver, position: Position) -> None:
    steps, step = run.schedule.steps_per_epoch, position.step
    with tqdm(
        total=run.schedule.total_steps * run.schedule.batch_size,
        initial=step * run.schedule.batch_size,
        unit="clip",
        desc="train",
        disable=True if run.schedule.rank else None,
    ) as bar:
        while step < run.schedule.total_steps and not saver.has_converged():
            row = _train_epoch(run, saver, Position(step, position.loss), bar)
            step, position = (step // steps + 1) * steps, Position()
            if step == run.schedule.total_steps or step // steps % run.recipe.train.save_every == 0:
                saver.validate(row)
            elif saver.saves_after(step):
                saver.save(Position(step))
    saver.finish()


def _train_epoch(run: Run, saver: Saver, position: Position, bar: tqdm) -> MetricsRow:
    """Train from a position in an epoch to its end; returns its figures."""
    set_training(run.student.tagger)
    epoch, watch = position.step // run.schedule.steps_per_epoch, Watch(run.training.keys)
    end = (epoch + 1) * run.schedule.steps_per_epoch
    loss = torch.tensor(0.0 if run.schedule.rank else position.loss, device=run.device)
    progress = Progress(loss, time.monotonic(), position.step)
    micro_batches = prepared(run, epoch, position.step)
    for step in range(position.step, end):
        progress.loss += step_of(run, _of_step(run, micro_batches, progress), step, watch)
        bar.update(run.schedule.batch_size)
        saves = saver.saves_after(step + 1) and step + 1 < end
        if step % REPORT_STEPS == 0 or saves or step + 1 == end:
            watch.look()
            _report(run, bar, progress, step)
        if saves:
            saver.save(Position(step + 1, _over_processes(run, progress)))
    return _figures(run, progress, end)


def _of_step(
    run: Run, micro_batches: Iterator[MicroBatch], progress: Progress
) -> Iterator[MicroBatch]:
    """This process's micro batches of a step, the time that they are waited for measured."""
    for _ in range(run.schedule.micro_batches // run.schedule.processes):
        began = time.monotonic()
        micro_batch = next(micro_batches)
        progress.waited += time.monotonic() - began
        yield micro_batch


def _report(run: Run, bar: tqdm, progress: Progress, step: int) -> None:
    steps = step + 1 - run.schedule.steps_per_epoch * (step // run.schedule.steps_per_epoch)
    loss = float(progress.loss) * run.schedule.processes / steps
    waits = progress.waited / max(time.monotonic() - progress.began, 1e-9)
    bar.set_postfix(loss=f"{loss:.4f}", lr=f"{run.rate(step):.2e}", data_wait=f"{waits:.0%}")


def _figures(run: Run, progress: Progress, end: int) -> MetricsRow:
    """The epoch's figures at its last step; speed and waiting since it was started or resumed."""
    steps = run.schedule.steps_per_epoch
    loss = _over_processes(run, progress)
    seconds = time.monotonic() - progress.began
    return MetricsRow(
        epoch=end // steps,
        step=end,
        train_loss=loss / steps,
        lr=run.rate(end),
        clips_per_second=(end - progress.first) * run.schedule.batch_size / seconds,
        data_wait=progress.waited / seconds,
    )


def _over_processes(run: Run, progress: Progress) -> float:
    """The epoch's loss so far, which the first process has from here on, as after a resume."""
    if run.schedule.processes > 1:
        dist.all_reduce(progress.loss)
    loss = float(progress.loss)
    if run.schedule.rank:
        progress.loss.zero_()
    return loss
