"""Training: resumable, on one process or many, from labels or from a teacher's scores.

A step's batch is made of micro batches. Each draws all its randomness from a seed made of the
recipe's seed, the step's number and its own, so that a resumed run repeats the uninterrupted one,
and that it makes no difference which process computes it.
"""

from audiotag.config import METRICS_FILE
from audiotag.recipe import RECIPE_FILE
from audiotag.training.building import build_tagger
from audiotag.training.loop import train

__all__ = ["METRICS_FILE", "RECIPE_FILE", "build_tagger", "train"]
