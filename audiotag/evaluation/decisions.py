"""Thresholds from decisions of people: which events of a label are right, by their scores.

Logistic regression says with what probability an event of a score is right (C. M. Wood and S. Kahl,
"Guidelines for appropriate use of BirdNET scores and other detector outputs", Journal of
Ornithology 165, 2024). A threshold is the score at which that is the precision that is asked for.
The page of results fits in the same way, in review.js.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.errors import DataError
from audiotag.models.config import read_config, store_thresholds
from audiotag.runtime.json_text import parse_json
from audiotag.runtime.lock import locked_folder
from audiotag.tagging.csv_rows import original
from audiotag.tagging.tag import DEFAULT_THRESHOLD

ENOUGH = 50  # decisions from which a label gets a threshold
PENALTY = 0.01  # of the slope's square, so that a fit exists where scores separate
MARGIN = 1e-4  # scores are kept so far from 0 and 1
STEPS, TOLERANCE, FARTHEST = 100, 1e-9, 2.0  # of Newton's method
SUFFIXES = (".csv", ".json")
RIGHT = {"right": True, "wrong": False, "unsure": None}


@dataclass(frozen=True)
class Decision:
    """What was decided of an event.

    Attributes:
        label: Its tag.
        score: The tag's score, in [0, 1].
        right: Whether the tag is right; None if that is unsure.
    """

    label: str
    score: float
    right: bool | None


@dataclass(frozen=True)
class LabelReview:
    """The decisions of one label, and what follows from them.

    Attributes:
        label: The label.
        decided: How many events are right or wrong.
        right: How many are right.
        threshold: The score from which on an event is right with the precision asked for; None if
            there are too few decisions, or no score is enough.
        above: How many of those decided reach it.
        above_right: How many of these are right.
    """

    label: str
    decided: int
    right: int
    threshold: float | None
    above: int = 0
    above_right: int = 0


def is_decisions(path: Path) -> bool:
    """Whether a path names a file of decisions, not a data set."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read_decisions(path: Path) -> list[Decision]:
    """Decisions that the page of results exported, as csv or json.

    Raises:
        DataError: If the file holds something else; names the row.
    """
    try:
        rows = _json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path)
        return list(_decisions(rows, path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path} holds no decisions of the page of results ({error})") from error


def review(decisions: Iterable[Decision], precision: float) -> list[LabelReview]:
    """What follows from decisions, for each label that has some, in the order of names."""
    by_label: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        by_label[decision.label].append(decision)
    return [_review(label, by_label[label], precision) for label in sorted(by_label)]


def store_reviewed(folder: Path, path: Path, precision: float) -> list[LabelReview]:
    """Store the thresholds that follow from a file of decisions in a model folder, for `tag`.

    Other classes keep theirs; where the model has none, theirs is `DEFAULT_THRESHOLD`.

    Raises:
        DataError: As `read_decisions`, or if a label is not the model's.
        ModelError: As `store_thresholds`.
    """
    reviews, config = review(read_decisions(path), precision), read_config(folder)
    places = {label.name: place for place, label in enumerate(config.labels)}
    unknown = [found.label for found in reviews if found.label not in places]
    if unknown:
        raise DataError(
            f"{path} decides of {unknown[0]!r}, which {folder} has no class for; name the model "
            "that the events were found with"
        )
    values = list(config.thresholds or [DEFAULT_THRESHOLD] * len(config.labels))
    for found in reviews:
        if found.threshold is not None:
            values[places[found.label]] = found.threshold
    if any(found.threshold is not None for found in reviews):
        with locked_folder(folder, f"another process writes into {folder}; wait for it"):
            store_thresholds(folder, values)
    return reviews


def logistic_fit(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Level and slope of the log odds of being right, over the log odds of the score, (N,)."""
    x = logit(scores)
    design = np.stack([np.ones_like(x), x])
    fit, penalty = np.array([0.0, 1.0]), np.array([0.0, 2 * PENALTY])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(fit @ design)))
        gradient = design @ (right - p) - penalty * fit
        curvature = (design * (p * (1 - p))) @ design.T + np.diag(penalty + [1e-9, 0])
        change = np.linalg.solve(curvature, gradient).clip(-FARTHEST, FARTHEST)
        fit = fit + change
        if np.abs(change).sum() < TOLERANCE:
            break
    return float(fit[0]), float(fit[1])


def logit(scores: np.ndarray) -> np.ndarray:
    """Log odds of scores."""
    inside = np.clip(scores, MARGIN, 1 - MARGIN)
    return np.log(inside / (1 - inside))


def _review(label: str, decisions: list[Decision], precision: float) -> LabelReview:
    sure = [decision for decision in decisions if decision.right is not None]
    scores = np.array([decision.score for decision in sure], float)
    right = np.array([decision.right for decision in sure], bool)
    threshold = None
    if len(sure) >= ENOUGH:
        threshold = threshold_for(*logistic_fit(scores, right), precision)
    if threshold is None:
        return LabelReview(label, len(sure), int(right.sum()), None)
    above = scores >= threshold
    counts = int(above.sum()), int((above & right).sum())
    return LabelReview(label, len(sure), int(right.sum()), threshold, *counts)


def threshold_for(level: float, slope: float, precision: float) -> float | None:
    """The lowest score from which on an event is right with a probability, if there is one."""
    if slope <= 0:  # higher scores are no better
        return 0.0 if 1 / (1 + np.exp(-level)) >= precision else None
    odds = (np.log(precision / (1 - precision)) - level) / slope
    threshold = float(1 / (1 + np.exp(-odds)))
    return None if threshold > 1 - MARGIN else threshold


def _json_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    values = parse_json(path.read_text(encoding="utf-8"))
    rows = values.get("decisions") if isinstance(values, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it has no list of decisions")
    yield from rows


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield {**row, "label": original(row.get("label") or "")}


def _decisions(rows: Iterable[Mapping[str, Any]], path: Path) -> Iterator[Decision]:
    for number, row in enumerate(rows, 1):
        label, said = row.get("label"), row.get("decision")
        if said not in RIGHT or not isinstance(label, str) or not label:
            raise ValueError(f"decision {number} is {said!r} of {label!r}")
        score = float(row.get("score") or "nan")
        if not 0 <= score <= 1:
            raise ValueError(f"decision {number} has the score {row.get('score')!r}")
        yield Decision(label, score, RIGHT[said])
