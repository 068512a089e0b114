"""What is made small: the difference to the labels, to a teacher's scores, or to both."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.runtime.precision import autocast
from audiotag.training import augment
from audiotag.training.batches import MicroBatch
from audiotag.training.distill import feature_maps
from audiotag.training.distill.embeddings import outputs
from audiotag.training.recipe.toml import DistillRecipe
from audiotag.training.run import Run


def label_loss(logits: Tensor, targets: Tensor, is_single: bool = False) -> Tensor:
    """Mean loss of logits (B, classes) against targets (B, classes) in [0, 1].

    Args:
        logits: In single precision.
        targets: Shares of the classes.
        is_single: Cross-entropy of softmax against the targets scaled to a sum of one; without,
            binary cross-entropy of each class.
    """
    if is_single:
        return F.cross_entropy(logits, targets / targets.sum(1, keepdim=True))
    return F.binary_cross_entropy_with_logits(logits, targets)


def loss_of(run: Run, batch: MicroBatch) -> Tensor:
    """Loss of a micro batch against labels, a teacher's scores, or both by `distill.weight`, and on
    top of them by the distance to its embeddings and maps."""
    aims, alpha = _smoothed(run, batch.targets), run.recipe.augment.mixup_alpha
    if batch.taught is not None:
        aims = torch.cat([aims, batch.taught], dim=1)
    with autocast(run.device.type, run.recipe.train.precision):
        maps = _maps(run, batch)
        if alpha:
            maps, aims = augment.mixup(maps, aims, alpha, batch.generator)
        given = batch.maps if batch.is_blockwise else None
        with feature_maps.tapped(run.tagger.backbone, run.layers, given) as learnt:
            logits, apart = _compared(run, batch, maps)
    if run.recipe.distill is None:
        return label_loss(logits, aims, run.is_single)
    targets, taught = aims.chunk(2, dim=1)
    loss = _distilled(run.recipe.distill, logits, targets, taught)
    loss = loss + run.recipe.distill.embedding_weight * apart
    if not run.layers:
        return loss
    return loss + run.recipe.distill.layer_weight * feature_maps.distance(learnt, batch.maps)


def _compared(run: Run, batch: MicroBatch, maps: Tensor) -> tuple[Tensor, Tensor | float]:
    """Logits (B, classes) of maps, and how far their embeddings are from the teacher's."""
    if run.matching is None or batch.embedding is None:
        return run.network(maps).float(), 0.0
    embedding, logits = outputs(run.tagger.backbone, maps)
    with torch.autocast(run.device.type, enabled=False):
        return logits.float(), run.matching(embedding.float(), batch.embedding)


def _distilled(distill: DistillRecipe, logits: Tensor, targets: Tensor, taught: Tensor) -> Tensor:
    """Loss of logits (B, classes) against softened scores, and in part against labels."""
    softened = F.binary_cross_entropy_with_logits(logits / distill.temperature, taught)
    # The gradient of a softened loss shrinks with the square of the temperature.
    loss = softened * distill.temperature**2
    if distill.weight == 1:
        return loss
    return distill.weight * loss + (1 - distill.weight) * label_loss(logits, targets)


def _smoothed(run: Run, targets: Tensor) -> Tensor:
    smoothing = run.recipe.train.label_smoothing
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


def _maps(run: Run, batch: MicroBatch) -> Tensor:
    """Maps of a micro batch as the model gets them, parts of them erased or masked."""
    recipe, features = run.recipe.augment, cast(Any, run.tagger.features)
    if recipe.erase_prob:
        power = augment.erase(features.power(batch.waveform), recipe.erase_prob, batch.generator)
        maps = features.from_power(power)
    else:
        maps = features(batch.waveform) if batch.heard is None else batch.heard
    if recipe.time_masks or recipe.mel_masks:
        masks = recipe.time_masks, recipe.time_width, recipe.mel_masks, recipe.mel_width
        maps = augment.mask(maps, *masks, batch.generator)
    return maps
