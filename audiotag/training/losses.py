"""What is made small: the difference to the labels, to a teacher's scores, or to both."""

from typing import Any, cast

from torch import Tensor
from torch.nn import functional as F

from audiotag.data import augment
from audiotag.training.batches import MicroBatch
from audiotag.training.matching import outputs
from audiotag.training.precision import autocast
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
    """Loss of a micro batch against labels, teacher, or both by `distill.weight`."""
    distill = run.recipe.distill
    if batch.teacher is None or distill is None:
        return _from_labels(run, batch)
    logits, apart = _compared(run, batch)
    soft = (batch.teacher / distill.temperature).sigmoid()
    softened = F.binary_cross_entropy_with_logits(logits / distill.temperature, soft)
    # The gradient of a softened loss shrinks with the square of the temperature.
    loss = softened * distill.temperature**2 + distill.embedding_weight * apart
    if distill.weight == 1:
        return loss
    hard = label_loss(logits, batch.targets, run.is_single)
    return distill.weight * loss + (1 - distill.weight) * hard


def _compared(run: Run, batch: MicroBatch) -> tuple[Tensor, Tensor | float]:
    """Logits (B, classes), and how far the embeddings are from the teacher's."""
    with autocast(run.device.type, run.recipe.train.precision):
        maps = _maps(run, batch)
        if run.matching is None or batch.teacher_embedding is None:
            return run.network(maps).float(), 0.0
        embedding, logits = outputs(run.tagger.backbone, maps)
    return logits.float(), run.matching(embedding.float(), batch.teacher_embedding)


def _from_labels(run: Run, batch: MicroBatch) -> Tensor:
    targets, alpha = _smoothed(run, batch.targets), run.recipe.augment.mixup_alpha
    with autocast(run.device.type, run.recipe.train.precision):
        maps = _maps(run, batch)
        if alpha:
            maps, targets = augment.mixup(maps, targets, alpha, batch.generator)
        logits = run.network(maps).float()
    return label_loss(logits, targets, run.is_single)


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
        maps = features(batch.waveform)
    if recipe.time_masks or recipe.mel_masks:
        masks = recipe.time_masks, recipe.time_width, recipe.mel_masks, recipe.mel_width
        maps = augment.mask(maps, *masks, batch.generator)
    return maps
