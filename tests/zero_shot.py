"""ESC-10 without training on it: how well AudioSet scores rank its clips.

    python tests/zero_shot.py MODEL ESC10_FOLDER

The score of an ESC-10 class is the highest of its AudioSet names below. The folder holds
`esc10.csv` (path, fold, label), with paths relative to it.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from audiotag.loading import load_tagger
from audiotag.metrics import average_precision
from audiotag.tagger import Tagger
from audiotag.tagging import TagOptions, tag_files

NAMES = {
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


def class_scores(tagger: Tagger, paths: list[Path]) -> np.ndarray:
    """Score of each ESC-10 class for each clip, (clips, 10), as `audiotag tag` gives them."""
    rows = []
    for result in tag_files(tagger, paths, TagOptions(top_k=0)):
        assert result.error is None, result
        score = {tag.label: tag.score for tag in result.tags}
        rows.append([max(score[name] for name in names) for names in NAMES.values()])
    return np.array(rows)


def class_average_precision(tagger: Tagger, folder: Path) -> dict[str, float]:
    """Average precision of each ESC-10 class over all clips of the folder."""
    with (folder / "esc10.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    targets = np.array([[row["label"] == name for name in NAMES] for row in rows])
    scores = class_scores(tagger, [folder / row["path"] for row in rows])
    return dict(zip(NAMES, average_precision(targets, scores), strict=True))


if __name__ == "__main__":
    result = class_average_precision(load_tagger(sys.argv[1]), Path(sys.argv[2]))
    for name, precision in result.items():
        print(f"{name:16} {precision:.3f}")
    print(f"{'mean':16} {np.mean(list(result.values())):.4f}")
