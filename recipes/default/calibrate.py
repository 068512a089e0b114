"""Fit the default's calibration and thresholds on labelled sounds that it was not trained on, and
print how reliable its scores are and how many tags it shows.

    python recipes/default/calibrate.py RUN LABELLED ESC10 TEACHER [--with NAME=MODEL]...

LABELLED is the table of `dev_labels.py`, ESC10 a table with the columns path and label. A tag is
right if it is a label of the recording, is above one in AudioSet's ontology, or has a score of
`HEARD` or more from the teacher: recordings contain more than their labels say.

The calibration is the same for all classes, fitted on LABELLED. For its figures, each source is
calibrated by a fit on the other sources. All classes have the same threshold, the lowest at which
no table gets more than `TAGS` tags a recording, with two exceptions. The most general names
(`GENERAL_BELOW`) have `GENERAL_FROM`: they say little, and usually come with a more specific name.
And thresholds lie above the scores of pure noise, except those of names for noise.

Both are written into RUN, the figures into its calibration.json. Each `--with` prints the same
tables of another model, fitted in the same way, without writing anything.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from zero_shot import ESC10

from audiotag.audio.windows import followed_by_silence
from audiotag.evaluation.calibration import Bin, fit_calibration, mean_gap, reliability
from audiotag.evaluation.scoring import Scores
from audiotag.label_set import Labels
from audiotag.models.calibration import Calibration
from audiotag.models.config import store_calibration, store_thresholds
from audiotag.models.engine import Configured, Engine
from audiotag.runtime.allocator import keep_freed_memory
from audiotag.runtime.files import replaced
from audiotag.tagging.open import open_engine
from audiotag.tagging.tag import TagOptions, tag_files

CALIBRATION_FILE = "calibration.json"
HEARD = 0.3  # a score of the teacher; on ESC-10, 86 of 100 tags from this score up are right
TAGS = 3.1  # a recording, on the table that gets the most
TOP = 5  # tags that `audiotag tag` shows at most
GENERAL_BELOW, GENERAL_FROM = 10, 0.6  # classes below a name in the ontology; score
LEVELS = np.geomspace(0.01, 0.9, 200)
NEIGHBOURS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0)  # of the level chosen, for the table
FOLDS = 5  # of the sources
NOISE_NAMES = ("Silence", "Noise", "White noise", "Pink noise", "Static")
NOISE_SLOPES = (0.0, 1.0, 2.0)  # of the spectrum of the power: white, pink, brown
NOISE_LEVELS = tuple(float(x) for x in range(-90, 0, 10))  # RMS, dB
NOISE_SECONDS = (1.0, 3.0, 10.0)  # silence follows what is shorter than a model takes
NOISE_DRAWS = 4  # scores of different draws differ by up to a tenth
NOISE_MARGIN = 1.1  # of a threshold over a score of noise


@dataclass(frozen=True, eq=False)
class Sounds:
    """Recordings with their labels.

    Attributes:
        paths: The files.
        groups: Package or repository of each.
        named: What the labels say, (N, 527) bool.
        above: The same, with all classes above them in the ontology.
    """

    paths: tuple[Path, ...]
    groups: tuple[str, ...]
    named: np.ndarray
    above: np.ndarray


def read_sounds(path: Path) -> Sounds:
    """The whole files of a table; ESC-10's labels become AudioSet's names."""
    audioset = Labels.audioset()
    is_closed = True
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [row for row in csv.DictReader(file) if not row.get("start")]
    named = np.zeros((len(rows), len(audioset)), bool)
    for i, row in enumerate(rows):
        is_closed &= row["label"] not in ESC10
        for label in row["label"].split(";"):
            named[i, [audioset.index(name) for name in ESC10.get(label, (label,))]] = True
    above, said = named.copy(), named.copy()
    for i in range(len(audioset)):
        above[:, audioset.above(i)] |= said[:, i, None]
        if is_closed:  # of Animal;Dog;Bark, Bark is named: Animal alone says too little
            named[np.ix_(said[:, i], np.array(audioset.above(i), int))] = False
    groups = tuple(row.get("group", "") for row in rows)
    return Sounds(tuple(path.parent / row["path"] for row in rows), groups, named, above)


def own_scores(engine: Engine, paths: Sequence[Path]) -> np.ndarray:
    """Scores (N, 527) of files as in `audiotag tag`, but not calibrated."""
    assert isinstance(engine, Configured)
    engine.config = replace(engine.config, calibration=None)
    values = np.zeros((len(paths), len(engine.labels)))
    options = TagOptions(top_k=0, threshold=0.0)
    for i, result in enumerate(tag_files(engine, paths, options)):
        assert result.error is None, result
        for tag in result.tags:
            values[i, engine.labels.index(tag.label)] = tag.score
    return values


def as_scores(name: str, values: np.ndarray, right: np.ndarray) -> Scores:
    """Scores, and which are right, in the form that `fit_calibration` takes."""
    keys = tuple(str(i) for i in range(len(values)))
    return Scores(name, "labelled sounds", None, None, Labels.audioset(), keys, right, values)


def across_sources(scores: Scores, groups: Sequence[str]) -> np.ndarray:
    """Calibrated scores; each source is calibrated by a fit on the others."""
    largest_first = sorted(set(groups), key=lambda group: (-groups.count(group), group))
    fold = np.array([largest_first.index(group) % FOLDS for group in groups])
    values = np.empty_like(scores.values)
    for number in range(FOLDS):
        inside = fold == number
        line = fit_calibration(scores.of(~inside), least_positives=None)
        values[inside] = line.scores(scores.values[inside], softmax=False)
    return values


def noise_scores(engine: Engine) -> np.ndarray:
    """The highest score of each class for any noise, (classes,), not calibrated."""
    highest = np.zeros(len(engine.labels))
    shortest = round(engine.min_duration * engine.sample_rate)
    generator = torch.Generator().manual_seed(0)
    for seconds in NOISE_SECONDS * NOISE_DRAWS:
        count = round(seconds * engine.sample_rate)
        spectrum = torch.fft.rfft(torch.randn(count, generator=generator))
        frequencies = torch.arange(len(spectrum)).clamp(min=1)
        for slope in NOISE_SLOPES:
            noise = torch.fft.irfft(spectrum * frequencies ** (-slope / 2), n=count)
            noise /= noise.square().mean().sqrt()
            noise = followed_by_silence(noise.numpy().astype(np.float32), shortest)
            levels = np.stack([noise * np.float32(10 ** (x / 20)) for x in NOISE_LEVELS])
            highest = np.maximum(highest, engine.score_windows(levels).max(0))
    return highest


def thresholds_at(level: float, noise: np.ndarray) -> np.ndarray:
    """Thresholds (527,) of calibrated scores; `noise` (527,) are the scores of noise."""
    audioset = Labels.audioset()
    below = np.zeros(len(audioset), int)
    for i in range(len(audioset)):
        below[audioset.above(i)] += 1
    general = np.where(below >= GENERAL_BELOW, max(level, GENERAL_FROM), level)
    is_noise = np.isin(audioset.names, NOISE_NAMES)
    return np.maximum(general, np.where(is_noise, 0, noise * NOISE_MARGIN)).clip(max=1.0)


def shown(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The tags (N, 527) bool that `audiotag tag` shows for scores (N, 527), guesses too."""
    lowest = np.sort(values, 1)[:, [-TOP]]
    heard = (values >= thresholds) & (values >= lowest)
    guess = ~heard.any(1)
    heard[guess, values[guess].argmax(1)] = True
    return heard


def figures(values: np.ndarray, thresholds: np.ndarray, named: np.ndarray, right: np.ndarray):
    """Figures of the tags that are shown, by name: a row of a table."""
    heard = shown(values, thresholds)
    return {
        "tags": heard.sum(1).mean(),
        "right_shown": (heard & named).any(1).mean(),
        "precision": (heard & right).sum() / heard.sum(),
        "recall": (heard & named).sum() / named.sum(),
        "guesses": (~(values >= thresholds).any(1)).mean(),
    }


def lowest_level(tables: Sequence[np.ndarray], noise: np.ndarray) -> float:
    """The lowest of `LEVELS` at which no table of scores gets more than `TAGS` tags."""
    return next(
        level
        for level in LEVELS
        if max(shown(x, thresholds_at(level, noise)).sum(1).mean() for x in tables) <= TAGS
    )


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted to a model, and its figures as they go into calibration.json."""

    calibration: Calibration
    thresholds: np.ndarray
    figures: dict[str, Any]


def fit(
    name: str,
    tables: dict[str, Sounds],
    own: dict[str, np.ndarray],
    teacher: dict[str, np.ndarray],
    noise: np.ndarray,
) -> Fitted:
    """Fit and print. Scores are not calibrated, by table: "labelled" and "esc10"; and of noise."""
    right = {key: x.above | (teacher[key] >= HEARD) for key, x in tables.items()}
    labelled = as_scores(name, own["labelled"], right["labelled"])
    line = fit_calibration(labelled, least_positives=None)
    values = {
        "labelled": across_sources(labelled, tables["labelled"].groups),
        "esc10": line.scores(own["esc10"], softmax=False),
    }
    heard_in_noise = line.scores(noise, softmax=False)
    level = lowest_level(list(values.values()), heard_in_noise)
    found: dict[str, Any] = {"slope": line.slope, "bias": line.biases[0], "level": level}
    print(f"{name}: slope {line.slope:.3f}, bias {line.biases[0]:.3f}, level {level:.3f}")
    for key, x in tables.items():
        bins = reliability(right[key], own[key]), reliability(right[key], values[key])
        print_reliability(key, *bins)
        found[f"{key}_gap_before"], found[f"{key}_gap"] = map(mean_gap, bins)
        for ratio in NEIGHBOURS:
            thresholds = thresholds_at(level * ratio, heard_in_noise)
            row = figures(values[key], thresholds, x.named, right[key])
            print(f"| {level * ratio:.3f} |", " | ".join(f"{v:.3f}" for v in row.values()), "|")
            if ratio == 1:
                found |= {f"{key}_{k}": v for k, v in row.items()}
    return Fitted(line, thresholds_at(level, heard_in_noise), found)


def print_reliability(table: str, before: Sequence[Bin], after: Sequence[Bin]) -> None:
    """Print how many tags are right, by their scores before and after calibration."""
    print(f"{table}: score, tags and right before, tags and right after")
    for old, new in zip(before, after, strict=True):
        cells = old.tags, f"{old.right:.2f}", new.tags, f"{new.right:.2f}"
        print(f"| {old.low:.1f} to {old.high:.1f} |", " | ".join(map(str, cells)), "|")


def main() -> None:
    """Read the command line, fit, print and store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("labelled", type=Path, metavar="LABELLED")
    parser.add_argument("esc10", type=Path, metavar="ESC10")
    parser.add_argument("teacher", metavar="TEACHER")
    parser.add_argument("--with", dest="others", action="append", default=[], metavar="NAME=MODEL")
    arguments = parser.parse_args()
    keep_freed_memory()
    tables = {key: read_sounds(getattr(arguments, key)) for key in ("labelled", "esc10")}

    def scores_of(model: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        engine = open_engine(model, "cpu", "torch")
        own = {key: own_scores(engine, x.paths) for key, x in tables.items()}
        return own, noise_scores(engine)

    teacher, _ = scores_of(arguments.teacher)
    own, noise = scores_of(str(arguments.run))
    fitted = fit("default", tables, own, teacher, noise)
    store_calibration(arguments.run, fitted.calibration)
    store_thresholds(arguments.run, fitted.thresholds.round(4).tolist())
    text = json.dumps({name: round(float(value), 4) for name, value in fitted.figures.items()})
    with replaced(arguments.run / CALIBRATION_FILE) as file:
        file.write(f"{text}\n".encode())
    for name, model in (other.split("=", 1) for other in arguments.others):
        own, noise = scores_of(model)
        fit(name, tables, own, teacher, noise)


if __name__ == "__main__":
    main()
