"""A step: the gradients of its micro batches, summed over processes, update the weights."""

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from audiotag.layers.dcls import clamp_positions
from audiotag.training.batches import MicroBatch
from audiotag.training.loss_watch import LossWatch
from audiotag.training.losses import loss_of
from audiotag.training.optim.optim import set_learning_rate
from audiotag.training.run import Run

BATCH_NORM_STATISTICS = ("running_mean", "running_var")


def learn(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Iterable[Tensor],
    scaler: torch.amp.GradScaler | None = None,
    clip_grad: float | None = None,
    reduce: Callable[[nn.Module], None] | None = None,
) -> Tensor:
    """One step of the optimiser.

    Args:
        model: The model that learns.
        optimizer: The optimiser of its parameters.
        losses: Loss of each micro batch, weighted by its fraction of the step's clips; computed
            one by one, as they are iterated over.
        scaler: Scales the loss, for gradients in half precision.
        clip_grad: Largest norm of the gradient.
        reduce: Adds up the gradients of all processes.

    Returns:
        The sum of the losses, on the device: reading it waits for the step.
    """
    optimizer.zero_grad()
    total: Tensor | float = 0.0
    for loss in losses:
        (loss if scaler is None else scaler.scale(loss)).backward()
        total = total + loss.detach()
    if reduce is not None:
        reduce(model)
    if clip_grad is not None:
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), clip_grad)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    clamp_positions(model)
    return torch.as_tensor(total)


def train_step(
    run: Run, micro_batches: Iterable[MicroBatch], step: int, watch: LossWatch
) -> Tensor:
    """Learn from a batch; returns this process's share of the loss, on the device."""
    student = run.student
    set_learning_rate(student.optimizer, run.rate(step))
    loss = learn(
        student.learner,
        student.optimizer,
        (_watched_loss(run, x, step, watch) for x in micro_batches),
        student.scaler if student.scaler.is_enabled() else None,
        run.recipe.optim.clip_grad,
        sum_gradients if run.schedule.processes > 1 else None,
    )
    if student.average is not None:
        student.average.update_parameters(student.tagger.backbone)
    return loss


def sum_gradients(model: nn.Module) -> None:
    """Add up the gradients of all processes, and average the running statistics of batch norms.

    Other buffers are not changed.
    """
    _sum([p.grad for p in model.parameters() if p.grad is not None])
    norms = [x for x in model.modules() if isinstance(x, _BatchNorm) and x.track_running_stats]
    statistics = [norm.get_buffer(name) for norm in norms for name in BATCH_NORM_STATISTICS]
    _sum(statistics)
    for statistic in statistics:
        statistic /= dist.get_world_size()


def _sum(tensors: list[Tensor]) -> None:
    """Replace tensors of one type by their sums over all processes, in one exchange."""
    if not tensors:
        return
    flat = torch._utils._flatten_dense_tensors(tensors)
    dist.all_reduce(flat)
    parts = torch._utils._unflatten_dense_tensors(flat, tensors)
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part)


def _watched_loss(run: Run, batch: MicroBatch, step: int, watch: LossWatch) -> Tensor:
    torch.manual_seed(batch.seed)
    loss = loss_of(run, batch)
    watch.add(step, batch.clips, loss)
    return loss * batch.fraction
