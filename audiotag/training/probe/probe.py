"""A new head in seconds: a regression on the frozen backbone's output for each clip.

The penalty is chosen by cross-validation over the data set's folds; without folds, over parts among
which the labels are spread evenly. Clips of one group are always in the same part.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset
from audiotag.errors import DataError, ModelError
from audiotag.evaluation.hearing import compute_clips, equal_lengths
from audiotag.evaluation.thresholds import best_threshold
from audiotag.models.evaluation_record import to_json
from audiotag.models.model import Model
from audiotag.runtime.files import replaced
from audiotag.runtime.progress import progress_line
from audiotag.training.probe.head import seen_by_head, set_rows
from audiotag.training.probe.regression import choose_penalty, figure_of, fit

PROBE_FILE = "probe.json"  # in a run folder
PARTS = 5  # of the cross-validation, unless the data set has folds
BATCH_SIZE = 16  # clips heard at once


@dataclass(frozen=True)
class Probe:
    """The results of a probe.

    Attributes:
        clips: Number of clips that it was fitted to.
        judged: How many of them could be left out, because other recordings have their labels too.
        parts: Number of parts of the cross-validation.
        penalty: The chosen penalty.
        figure: "accuracy" if each clip has exactly one label, else "mAP".
        value: The figure of left-out clips in cross-validation; NaN if there are none.
        thresholds: For each new label, the lowest score at which it counts as present, from the
            cross-validation (classes,); 0.5 for a label without a clip.
        seconds: How long it took.
    """

    clips: int
    judged: int
    parts: int
    penalty: float
    figure: str
    value: float
    thresholds: tuple[float, ...]
    seconds: float


def save_probe(probe: Probe, folder: Path) -> None:
    """Write the results of a probe into a run folder, with null for NaN."""
    with replaced(folder / PROBE_FILE) as file:
        file.write(f"{to_json(probe)}\n".encode())


def read_probe(folder: Path) -> Probe:
    """What `save_probe` wrote into a run folder.

    Raises:
        ModelError: If it is missing or damaged.
    """
    path = folder / PROBE_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        value = math.nan if values["value"] is None else values["value"]
        return Probe(**{**values, "value": value, "thresholds": tuple(values["thresholds"])})
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}); fine-tune into another folder"
        ) from error


def fit_probe(tagger: Model, dataset: ClipDataset, targets: np.ndarray, first: int = 0) -> Probe:
    """Fit the rows of a model's last layer, from row `first`, to clips; nothing else changes.

    Args:
        tagger: The model; its config says how it hears and whether clips have one label each.
        dataset: The clips.
        targets: Which of the labels of these rows they have, (N, classes).
        first: The first row to fit.

    Raises:
        DataError: If there is nothing to tell apart, or a clip is damaged.
    """
    start, is_single = time.monotonic(), tagger.config.softmax
    _check(dataset, targets)
    features = torch.from_numpy(_features(tagger, dataset)).double()
    truth, parts = torch.from_numpy(targets).double(), torch.from_numpy(parts_of(dataset, targets))
    chosen = choose_penalty(features, truth, parts, is_single)
    found = fit(features, truth, is_single, chosen.penalty, chosen.temperature)
    set_rows(tagger.backbone, first, found)
    return Probe(
        clips=len(dataset),
        judged=len(chosen.clips),
        parts=len(parts.unique()),
        penalty=chosen.penalty,
        figure="accuracy" if is_single else "mAP",
        value=figure_of(chosen.logits, truth[chosen.clips], is_single),
        thresholds=_thresholds(chosen.logits, truth[chosen.clips]),
        seconds=time.monotonic() - start,
    )


def parts_of(dataset: ClipDataset, targets: np.ndarray) -> np.ndarray:
    """Number of the part of the cross-validation that each clip is in, (N,)."""
    known = dataset.folds[dataset.folds >= 0]
    if len(known) == len(dataset) and len(np.unique(known)) > 1:
        return np.unique(known, return_inverse=True)[1]
    groups = dataset.groups()
    label = np.where(targets.any(1), targets.argmax(1), -1)
    order = sorted(range(len(dataset)), key=lambda i: (label[i], groups[i]))
    dealt = {name: i % PARTS for i, name in enumerate(dict.fromkeys(groups[i] for i in order))}
    return np.array([dealt[name] for name in groups])


def _check(dataset: ClipDataset, targets: np.ndarray) -> None:
    counts = targets.sum(0)
    if len(dataset) < 2 or not ((counts > 0) & (counts < len(dataset))).any():
        raise DataError(
            f"{dataset.folder}: all {len(dataset)} clips to learn from have the same label, so "
            "there is nothing to tell it from; add recordings of other sounds, in a folder called "
            "background"
        )


def _features(tagger: Model, dataset: ClipDataset) -> np.ndarray:
    """The last layer's input (N, D) for each clip, the mean over windows."""
    rows: list[np.ndarray | None] = [None] * len(dataset)
    batches = equal_lengths(dataset, BATCH_SIZE)
    with (
        progress_line("probe", len(dataset), "clips", is_left=False) as line,
        seen_by_head(tagger) as see,
    ):
        for clips, seen in compute_clips(dataset, batches, tagger, see):
            for clip, row in zip(clips, seen.mean(1), strict=True):
                rows[clip] = row
            line.update(len(clips))
    return np.stack([row for row in rows if row is not None])


def _thresholds(logits: Tensor, truth: Tensor) -> tuple[float, ...]:
    scores, heard = logits.sigmoid().numpy(), truth.numpy() > 0
    return tuple(
        best_threshold(heard[:, i], scores[:, i])[0] if heard[:, i].any() else 0.5
        for i in range(heard.shape[1])
    )
