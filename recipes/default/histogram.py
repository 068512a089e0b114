"""Count what a teacher hears in a corpus, class by class, and how often training draws it.

    audiotag evaluate mn04 data/joined --split train --scores scores.npz
    python recipes/default/histogram.py recipes/default/balanced.toml scores.npz OUT.tsv

The scores are those of the training clips. `OUT.tsv` has a row for each class: the number of clips
with a teacher's score of at least 0.1, 0.3 and 0.5; and the fraction of a step's clips with a score
of at least 0.3, drawn with the recipe's `data.balance`, `limit_labels` and `limit_share`. (Training
draws by the teacher's scores of the start of clips, as long as the shortest crop.) It prints the
number of classes with five clips or more, and the fraction of the recipe's limited labels.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from audiotag.evaluation.stored_scores import read_scores
from audiotag.label_set import Labels
from audiotag.runtime.files import replaced
from audiotag.training.recipe.sections import DataRecipe
from audiotag.training.recipe.toml import load_recipe
from audiotag.training.sampling import limited_weights

LEVELS = (0.1, 0.3, 0.5)
HEARD = 0.3  # as in training
FEWEST = 5  # clips of a class that has enough to count


def shares(scores: Tensor, labels: Labels, data: DataRecipe) -> Tensor:
    """The fraction of draws (N,) of each clip, for scores (N, classes)."""
    weights = scores @ (scores.sum(0) + data.balance_offset).clamp(min=1) ** -data.balance
    if not data.balance:
        weights = torch.ones_like(weights)
    if data.limit_labels:
        common = (scores[:, [labels.index(name) for name in data.limit_labels]] >= HEARD).any(1)
        weights = limited_weights(weights, common, data.limit_share)
    return weights / weights.sum()


def main() -> None:
    """Read the command line, write the table and print its sums."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path, metavar="RECIPE")
    parser.add_argument("scores", nargs="+", metavar="NPZ")
    parser.add_argument("out", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    stored, data = read_scores(arguments.scores), load_recipe(arguments.recipe).data
    scores = torch.from_numpy(stored.values).double()
    drawn = shares(scores, stored.labels, data)
    counts = {level: (scores >= level).sum(0) for level in LEVELS}
    share = drawn @ (scores >= HEARD).double()
    lines = ["\t".join(["class", *(f"clips_{level}" for level in LEVELS), "share_of_draws"])]
    for i, name in enumerate(stored.labels.names):
        row = [str(int(counts[level][i])) for level in LEVELS]
        lines.append("\t".join([name, *row, f"{share[i]:.5f}"]))
    with replaced(arguments.out) as file:
        file.write(("\n".join(lines) + "\n").encode())
    for level, count in counts.items():
        print(f"{int((count >= FEWEST).sum())} classes of {FEWEST} clips or more at {level}")
    columns = [stored.labels.index(name) for name in data.limit_labels or ()]
    common = (scores[:, columns] >= HEARD).any(1)
    names = " or ".join(data.limit_labels or ("nothing",))
    print(f"{names}: {common.double().mean():.3f} of the clips, {drawn[common].sum():.3f} drawn")
    print(f"nothing at {HEARD}: {drawn[(scores < HEARD).all(1)].sum():.3f} drawn")


if __name__ == "__main__":
    main()
