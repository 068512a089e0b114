"""The picture of a model's mistakes: which label is heard as which."""

from pathlib import Path

import numpy as np

from audiotag.errors import DataError
from audiotag.models.evaluation_record import Confusion, Evaluation, read_evaluation
from audiotag.runtime.figures import check_plot, write
from audiotag.runtime.fonts import fonts_for, plain

LARGEST = 60  # labels with a row each; of more, those with the most mistakes
NUMBERED = 30  # labels up to which each cell has its number of clips
DARK = 0.55  # share from which on a cell's number is white
CELL, LEAST = 0.3, 4.0  # inches of a cell, and of the matrix


def plot_confusion(folder: Path, path: Path) -> None:
    """Draw the confusion matrix in a model folder's `evaluation.json`.

    Rows are the clips' labels, columns the model's first tags; a cell's colour is the share of its
    row.

    Raises:
        DataError: If the folder has no evaluation, or one of clips with several labels.
        AudioTagError: As `check_plot`.
        OutputError: If the picture cannot be written.
    """
    check_plot(path)
    evaluation = read_evaluation(folder)
    if evaluation is None:
        raise DataError(f"{folder} has no evaluation; run audiotag evaluate {folder} DATA --save")
    if evaluation.confusion is None:
        raise DataError(
            f"{folder} was measured on clips with several labels, or none, of which there is no "
            "confusion matrix"
        )
    labels = chosen_labels(evaluation.confusion)
    with fonts_for([*labels, evaluation.model, evaluation.data], path):
        _draw(evaluation, labels, matrix(evaluation.confusion, labels), path)


def chosen_labels(pairs: tuple[Confusion, ...]) -> list[str]:
    """The labels to draw, in the order of the pairs: all, or those with the most mistakes."""
    labels = list(dict.fromkeys([x.label for x in pairs] + [x.heard for x in pairs]))
    if len(labels) <= LARGEST:
        return labels
    mistakes = dict.fromkeys(labels, 0)
    for pair in pairs:
        if pair.label != pair.heard:
            mistakes[pair.label] += pair.clips
            mistakes[pair.heard] += pair.clips
    most = set(sorted(labels, key=lambda label: -mistakes[label])[:LARGEST])
    return [label for label in labels if label in most]


def matrix(pairs: tuple[Confusion, ...], labels: list[str]) -> np.ndarray:
    """How many clips of a label (row) were heard as another (column), (labels, labels)."""
    places = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), int)
    for pair in pairs:
        if pair.label in places and pair.heard in places:
            counts[places[pair.label], places[pair.heard]] = pair.clips
    return counts


def _draw(evaluation: Evaluation, labels: list[str], counts: np.ndarray, path: Path) -> None:
    from matplotlib.figure import Figure

    side = max(LEAST, CELL * len(labels))
    figure = Figure((side + 3.0, side + 2.0), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [plain(label) for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="heard as", ylabel="label")
    if len(labels) <= NUMBERED:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > DARK else "black"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", fontsize=7, color=colour
            )
    figure.colorbar(image, label="share of the label's clips", shrink=0.6)
    right = 1 - sum(x.clips for x in evaluation.confusion or () if x.label != x.heard) / max(
        evaluation.clips, 1
    )
    of = f", {len(labels)} labels with the most mistakes" if len(labels) == LARGEST else ""
    title = f"{evaluation.model} on {evaluation.data}: {right:.1%} of {evaluation.clips:,} clips"
    axes.set_title(plain(f"{title} right{of}"), fontsize=10)
    write(figure, path)
