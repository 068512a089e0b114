"""Logistic regression with an L2 penalty and a temperature that cross-validation chooses.

It is multinomial if each clip has exactly one label; else each class has its own regression. The
features are scaled to a total variance of 1, so that the same penalties suit every backbone. The
penalty with the best figure is mostly too weak for calibrated scores, so logits are divided by a
temperature (arXiv 1706.04599).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.evaluation.metrics import mean_average_precision

PENALTIES = tuple(10.0 ** (-x / 2) for x in range(11))  # of the squared weights, strong to weak
USUAL_PENALTY = 1e-4  # where no label has clips of two recordings, so that none can be left out
STEPS = 80  # of L-BFGS at most, from the solution of the penalty before
TEMPERATURES = tuple(2.0 ** (x / 4) for x in range(-32, 15))  # 0.004 to 11
DOUBT = 0.25  # standard errors by which a penalty may be worse than the best, for a better loss
TOLERANCE = 1e-6  # of the gradient
MOST_CLIPS = 5000  # most clips to choose the penalty on


@dataclass(frozen=True)
class Regression:
    """A linear layer in double precision: weight (classes, D), bias (classes,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (N, classes) of features (N, D)."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class Chosen:
    """The choice of the cross-validation, and its outputs.

    Attributes:
        penalty: The chosen penalty.
        temperature: Logits are divided by it.
        logits: Logits (N, classes) of each clip, divided by the temperature, from the regression
            that was not fitted to it.
        clips: Numbers of these clips (N,): those whose labels clips of other parts have too.
    """

    penalty: float
    temperature: float
    logits: Tensor
    clips: Tensor


def figure_of(logits: Tensor, truth: Tensor, is_single: bool) -> float:
    """Accuracy of logits against the truth, both (N, classes); if clips may have several labels or
    none, mean average precision. NaN if no clip has a label."""
    if not len(truth):
        return math.nan
    if is_single:
        return float((logits.argmax(1) == truth.argmax(1)).double().mean())
    return mean_average_precision(truth.numpy() > 0, logits.numpy())


def loss_of(logits: Tensor, targets: Tensor, is_single: bool) -> Tensor:
    """Mean over the clips of the loss of logits against targets, both (N, classes)."""
    if is_single:
        return F.cross_entropy(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


def choose_penalty(features: Tensor, targets: Tensor, parts: Tensor, is_single: bool) -> Chosen:
    """The best penalty and temperature for clips whose part is left out of the regression.

    Args:
        features: (N, D), in double precision.
        targets: (N, classes), in double precision.
        parts: Number of each clip's part (N,); parts are left out one after the other.
        is_single: Whether each clip has exactly one label.
    """
    clips = torch.arange(len(features))
    if len(features) > MOST_CLIPS:
        generator = torch.Generator().manual_seed(0)
        clips = torch.randperm(len(features), generator=generator)[:MOST_CLIPS].sort().values
    features, targets, parts = features[clips], targets[clips], parts[clips]
    told = torch.zeros(len(PENALTIES), *targets.shape, dtype=torch.float64)
    is_judged = torch.zeros(len(targets), dtype=torch.bool)
    for part in parts.unique():
        rest = parts != part
        # A label that the other parts lack cannot be learnt.
        is_judged[~rest] = (targets[~rest] <= targets[rest].sum(0)).all(1)
        for number, found in enumerate(fits(features[rest], targets[rest], is_single)):
            told[number, ~rest] = found(features[~rest])
    told, targets = told[:, is_judged], targets[is_judged]
    if not len(targets):
        return Chosen(USUAL_PENALTY, 1.0, told[0], clips[is_judged])
    best = _best(told, targets, is_single)
    temperature = _temperature(told[best], targets, is_single)
    return Chosen(PENALTIES[best], temperature, told[best] / temperature, clips[is_judged])


def _best(told: Tensor, targets: Tensor, is_single: bool) -> int:
    """Number of the best of logits (P, N, classes): among those whose figure is the best, up to
    chance, the one with the lowest loss, each at its own temperature."""
    figures = torch.tensor([figure_of(logits, targets, is_single) for logits in told]).nan_to_num()
    share = (float(figures.max()) * len(targets) + 1) / (len(targets) + 2)  # never 1
    least = float(figures.max()) - DOUBT * (share * (1 - share) / len(targets)) ** 0.5
    losses = [_calibrated_loss(logits, targets, is_single) for logits in told]
    return min((losses[i], i) for i in range(len(told)) if figures[i] >= least)[1]


def _calibrated_loss(logits: Tensor, targets: Tensor, is_single: bool) -> float:
    return float(loss_of(logits / _temperature(logits, targets, is_single), targets, is_single))


def _temperature(logits: Tensor, targets: Tensor, is_single: bool) -> float:
    """The temperature with the lowest loss against targets slightly inside 0 and 1, the closer the
    more clips there are, as in Platt's method. Otherwise, if all clips were right, scores would
    become 1."""
    doubt = 1 / (len(targets) + 2)
    even = 1 / targets.shape[1] if is_single else 0.5
    targets = targets * (1 - doubt) + doubt * even
    losses = [float(loss_of(logits / x, targets, is_single)) for x in TEMPERATURES]
    return min(zip(losses, TEMPERATURES, strict=True))[1]


def fit(
    features: Tensor, targets: Tensor, is_single: bool, penalty: float, temperature: float = 1.0
) -> Regression:
    """The regression with a penalty, and with logits divided by a temperature; other arguments as
    for `choose_penalty`."""
    found = next(fits(features, targets, is_single, (penalty,)))
    return Regression(found.weight / temperature, found.bias / temperature)


def fits(
    features: Tensor,
    targets: Tensor,
    is_single: bool,
    penalties: tuple[float, ...] = PENALTIES,
) -> Iterator[Regression]:
    """The regressions for the penalties in order; each starts from the solution before.

    The weights are linear combinations of the centred features, so it is enough to search the space
    that these span: 49 dimensions for 50 clips.
    """
    mean = features.mean(0)
    centred = features - mean
    scale = centred.square().sum(1).mean().sqrt().clamp(min=1e-12)
    rotated, sizes, directions = torch.linalg.svd(centred / scale, full_matrices=False)
    kept = sizes > sizes[0] * 1e-9 if sizes[0] > 0 else sizes > 0
    rotated, directions = (rotated * sizes)[:, kept], directions[kept]
    classes = targets.shape[1]
    weight = torch.zeros(classes, rotated.shape[1], dtype=torch.float64)
    shares = targets.mean(0).clamp(0.5 / len(targets), 1 - 0.5 / len(targets))
    start = shares.log() if is_single else shares.logit()
    bias = start.clone()
    for penalty in penalties:
        _minimise(rotated, targets, is_single, penalty, weight, bias)
        found = weight @ directions / scale
        yield Regression(found, bias - found @ mean)


def _minimise(
    features: Tensor, targets: Tensor, is_single: bool, penalty: float, weight: Tensor, bias: Tensor
) -> None:
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=STEPS,
        tolerance_grad=TOLERANCE,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        """The loss. Its gradients are set explicitly: on so few numbers, autograd would take most
        of the time of a step."""
        logits = features @ weight.T + bias
        scores = logits.softmax(1) if is_single else logits.sigmoid()
        apart = (scores - targets) / len(targets)
        weight.grad, bias.grad = apart.T @ features + penalty * weight, apart.sum(0)
        return loss_of(logits, targets, is_single) + penalty * weight.square().sum() / 2

    with torch.no_grad():
        optimizer.step(closure)
