"""The mean of two runs' weights as a model folder: it keeps what the first heard while it ranks
nearly as the second, which went on from it (arXiv 2109.01903).

    python recipes/default/mean.py FIRST SECOND OUT [TIMES]

The second counts TIMES as much as the first, 1 unless given.
"""

import sys

from audiotag.models.model import Model
from audiotag.training.run_folder.kept_weights import mean_of


def mean(first: str, second: str, out: str, times: str = "1") -> None:
    """Write the mean into the folder `out`."""
    states = [Model.load(x).backbone.state_dict() for x in (first, *[second] * int(times))]
    tagger = Model.load(second)
    tagger.backbone.load_state_dict(mean_of(states))
    tagger.save(out)


if __name__ == "__main__":
    mean(*sys.argv[1:])
