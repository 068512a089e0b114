"""What to tell of a data set's labels before a model learns them."""

from collections.abc import Iterator
from pathlib import Path

from audiotag.data.dataset import ClipDataset, read_labels
from audiotag.label_set import is_negative
from audiotag.training.recipe.sections import Recipe
from audiotag.training.setup import data_parts, kept_count, labels_of


def label_warnings(recipe: Recipe, data: Path) -> Iterator[str]:
    """What to tell of the labels: which are none, which have no clip to learn from, and whether
    anything has none."""
    negatives = [x.name for x in read_labels(data) if is_negative(x.name)]
    if negatives and recipe.data.negatives:
        yield (
            f"{', '.join(negatives)}: taken for recordings of none of the labels; with --set "
            "data.negatives=false it is a label"
        )
    if recipe.data.label_set != "data":
        return
    labels, kept = labels_of(recipe, data), kept_count(recipe)
    targets = ClipDataset(data, **data_parts(recipe)[0]).targets(labels)
    unlearnt = [labels[i].name for i in range(kept, len(labels)) if not targets.counts[i]]
    if unlearnt:
        yield (
            f"warning: no clip to learn from has the label {', '.join(unlearnt)}, so it will not "
            "be heard; add recordings, or make the data set with --valid-percent 0"
        )
    if (targets.sizes > 0).all():
        yield (
            "warning: every clip has one of the labels, so the model has never heard anything "
            "else and will call it one of them; add recordings of other sounds, in a folder "
            "called background or with an empty label"
        )
