"""How a run is divided into epochs, steps, micro batches and shares of processes."""

import math
from dataclasses import dataclass

from audiotag.errors import RecipeError
from audiotag.training.recipe.sections import Recipe

START_SHARE = 0.05  # largest share of the start's weights in a running average


@dataclass(frozen=True)
class Schedule:
    """How a run is divided.

    Attributes:
        batch_size: Clips of a step, over all processes.
        micro_size: Clips that go through the model at once.
        steps_per_epoch: Full batches in an epoch.
        total_steps: Steps of the whole run.
        warmup_steps: Steps in which the learning rate rises.
        blockwise_steps: Steps at the start in which layers continue from the teacher's maps.
        rank: Number of this process.
        processes: How many processes share the work.
    """

    batch_size: int
    micro_size: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    blockwise_steps: int
    rank: int
    processes: int

    @property
    def micro_batches(self) -> int:
        """Micro batches of a step, over all processes."""
        return math.ceil(self.batch_size / self.micro_size)


def slow_average(recipe: Recipe, schedule: Schedule) -> str | None:
    """The problem with a running average that still contains the start's weights, or None."""
    decay, steps = recipe.train.ema_decay, schedule.total_steps
    if decay is None or not steps or decay**steps <= START_SHARE:
        return None
    return (
        f"train.ema_decay {decay:g} is too slow for {steps} steps: {decay**steps:.0%} of the "
        f"weights that are saved will be those of the start; leave it out, or set it to "
        f"{START_SHARE ** (1 / steps):.4g} or less"
    )


def plan_schedule(recipe: Recipe, clips: int, rank: int, processes: int) -> Schedule:
    """The schedule of a recipe for this number of training clips.

    Raises:
        RecipeError: If the processes cannot share the micro batches of a step equally.
    """
    batch_size = min(recipe.train.batch_size, clips)
    micro_size = recipe.train.micro_batch or math.ceil(batch_size / processes)
    steps = max(1, (recipe.data.epoch_clips or clips) // recipe.train.batch_size)
    blockwise_epochs = 0.0 if recipe.distill is None else recipe.distill.blockwise_epochs
    schedule = Schedule(
        batch_size=batch_size,
        micro_size=min(micro_size, batch_size),
        steps_per_epoch=steps,
        total_steps=steps * recipe.train.epochs,
        warmup_steps=round(recipe.optim.warmup_epochs * steps),
        blockwise_steps=round(blockwise_epochs * steps),
        rank=rank,
        processes=processes,
    )
    if schedule.micro_batches % processes:
        raise RecipeError(
            f"the {schedule.micro_batches} micro batches of a step cannot be shared equally by "
            f"{processes} processes; change train.batch_size or train.micro_batch"
        )
    return schedule
