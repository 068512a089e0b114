"""The mean of two runs' weights, as a model folder (arXiv 2109.01903). The second run started from
the first: the mean still tags the sounds that the first tagged, and ranks nearly as the second.

    python recipes/default/mean.py FIRST SECOND OUT [TIMES]

The second counts TIMES as much as the first, 1 unless given. Short clips are heard as the first run
hears them: what a run notes for itself, the length of its shortest crop, may be another.
"""

import sys

from audiotag.models.model import Model
from audiotag.training.run_folder.kept_weights import mean_of


def mean(first: str, second: str, out: str, times: str = "1") -> None:
    """Write the mean into the folder `out`."""
    states = [Model.load(x).backbone.state_dict() for x in (first, *[second] * int(times))]
    tagger = Model.load(first)
    tagger.backbone.load_state_dict(mean_of(states))
    tagger.save(out)


if __name__ == "__main__":
    mean(*sys.argv[1:])
