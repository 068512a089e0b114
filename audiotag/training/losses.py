"""The loss: the distance to the labels, to the outputs of teachers, or to both."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.runtime.precision import autocast
from audiotag.training.batches import MicroBatch
from audiotag.training.distill import feature_maps
from audiotag.training.distill.confirmed import raise_confirmed
from audiotag.training.distill.embeddings import outputs
from audiotag.training.distill.teachers import Answer
from audiotag.training.recipe.sections import DistillRecipe
from audiotag.training.run import Run


def label_loss(logits: Tensor, targets: Tensor, is_single: bool = False) -> Tensor:
    """Mean loss of logits (B, classes) against targets (B, classes) in [0, 1].

    Args:
        logits: In single precision.
        targets: Targets of the classes.
        is_single: If true, cross-entropy of a softmax against the targets, scaled to a sum of one;
            else binary cross-entropy of each class.
    """
    if is_single:
        return F.cross_entropy(logits, targets / targets.sum(1, keepdim=True))
    return F.binary_cross_entropy_with_logits(logits, targets)


def loss_of(run: Run, batch: MicroBatch) -> Tensor:
    """Loss of a micro batch against labels, a teacher's scores, or both by `distill.weight`.

    The distances to the teacher's embeddings and maps are added if these are learnt.
    """
    aims, distill = _smoothed(run, batch.targets), run.recipe.distill
    if batch.answer is not None and distill is not None:
        return _distillation_loss(run, batch, batch.answer, distill, aims)
    with autocast(run.device.type, run.recipe.train.precision):
        maps, aims = _augmented(run, batch, aims)
        logits = run.student.network(maps).float()
    if run.former is not None:
        return _keeping_loss(logits, aims, run.former(maps).detach().float(), run.kept)
    return label_loss(logits, aims, run.student.is_single)


def _keeping_loss(logits: Tensor, aims: Tensor, former: Tensor, kept: int) -> Tensor:
    """Loss of logits (B, classes) against labels; for the first `kept` classes, against the scores
    of the model before, (B, classes). All classes have the same weight."""
    aims = torch.cat([former[:, :kept].sigmoid(), aims[:, kept:]], dim=1)
    loss = F.binary_cross_entropy_with_logits(logits, aims, reduction="sum")
    return loss / (len(logits) * max(1, logits.shape[1] - kept))


def _distillation_loss(
    run: Run, batch: MicroBatch, answer: Answer, distill: DistillRecipe, aims: Tensor
) -> Tensor:
    """Loss against the outputs of teachers, and in part against labels (B, classes)."""
    taught = answer.scores
    if distill.least_score:
        least = distill.least_score
        taught = raise_confirmed(taught, batch.targets, least, distill.temperature)
    aims = torch.cat([aims, taught], dim=1)  # mixup blends both alike
    layers, given = tuple(answer.maps), answer.maps if batch.is_blockwise else None
    with autocast(run.device.type, run.recipe.train.precision):
        maps, aims = _augmented(run, batch, aims)
        with feature_maps.tapped(run.student.tagger.backbone, layers, given) as learnt:
            logits, apart = _compared(run, answer, maps)
    loss = _score_loss(distill, logits, *aims.chunk(2, dim=1)) + distill.embedding_weight * apart
    if not layers:
        return loss
    return loss + distill.layer_weight * feature_maps.distance(learnt, answer.maps)


def _augmented(run: Run, batch: MicroBatch, aims: Tensor) -> tuple[Tensor, Tensor]:
    """Augmented maps of a micro batch, the model's input, and their targets."""
    augment, features = run.augmentations, cast(Any, run.student.tagger.features)
    if augment.erase is not None:
        power = augment.erase(features.power(batch.waveform), batch.generator)
        maps = features.from_power(power)
    else:
        maps = features(batch.waveform) if batch.features is None else batch.features
    if augment.mask is not None:
        maps = augment.mask(maps, batch.generator)
    if augment.mixup is not None:
        maps, aims = augment.mixup(maps, aims, batch.generator)
    return maps, aims


def _compared(run: Run, answer: Answer, maps: Tensor) -> tuple[Tensor, Tensor | float]:
    """Logits (B, classes) of maps, and the distance of their embeddings to the teacher's."""
    student = run.student
    if student.matching is None or answer.embeddings is None:
        return student.network(maps).float(), 0.0
    embeddings, logits = outputs(student.tagger.backbone, maps)
    with torch.autocast(run.device.type, enabled=False):
        return logits.float(), student.matching(embeddings.float(), answer.embeddings)


def _score_loss(distill: DistillRecipe, logits: Tensor, targets: Tensor, taught: Tensor) -> Tensor:
    """Loss of logits (B, classes) against softened scores, and in part against labels."""
    if distill.softmax:
        softened = divergence(logits / distill.temperature, taught)
    else:
        softened = F.binary_cross_entropy_with_logits(logits / distill.temperature, taught)
    # The gradient of a softened loss shrinks with the square of the temperature.
    loss = softened * distill.temperature**2
    if distill.weight == 1:
        return loss
    return distill.weight * loss + (1 - distill.weight) * label_loss(logits, targets)


def divergence(logits: Tensor, taught: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax of logits (B, classes) from that of a teacher's,
    summed over the classes, whose scores (B, classes) are given."""
    precision = torch.finfo(taught.dtype)
    wanted = taught.clamp(precision.tiny, 1 - precision.eps).logit().log_softmax(1)
    return F.kl_div(logits.log_softmax(1), wanted, reduction="batchmean", log_target=True)


def _smoothed(run: Run, targets: Tensor) -> Tensor:
    smoothing = run.recipe.train.label_smoothing
    return targets * (1 - smoothing) + smoothing / targets.shape[1]
