"""`evaluation.json` in a model folder: the figures of a model, and on which clips."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audiotag.errors import ModelError
from audiotag.models.folder import EVALUATION_FILE, regular
from audiotag.runtime.files import replaced
from audiotag.runtime.json_text import parse_json
from audiotag.runtime.records import read_record

SAME_LENGTH = 1.1  # factor between crops and clips that count as equally long


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % bootstrap interval over clips; without resamples, its ends are NaN.

    If all resamples agree, the interval has no width: an accuracy of 1 is 1 in each of them.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class.

    Attributes:
        name: The class.
        clips: How many clips have it.
        average_precision: As scikit-learn's.
        auc: Area under the ROC curve; NaN if every clip has the class.
    """

    name: str
    clips: int
    average_precision: Figure
    auc: Figure


@dataclass(frozen=True)
class Confusion:
    """How many clips of the class `label` have `heard` as first tag; it may be the same class."""

    label: str
    heard: str
    clips: int


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model, and the clips they were measured on.

    Attributes:
        model: The model's name in messages.
        data: Name of the data set's folder.
        split: The split measured; None for all.
        fold: The fold measured; None for all.
        clips: How many clips.
        keys: Hash of the clips' keys; figures with another hash were measured on other clips.
        labels: How many classes the model has.
        resamples: How many bootstrap resamples the intervals come from.
        figures: As `measurement.Measurement.figures`, and "d_prime", computed from "AUC".
        classes: Figures of each class that has a clip, in the order of the labels.
        confusion: Pairs that occur; None unless every clip has exactly one label.
        learnt: How many of these clips the model was trained on, as far as its folder says.
        data_hash: Hash of the clips' keys, sounds and labels: figures with another hash are of
            other clips, or of clips that are labelled otherwise. None, as the values below, where
            an older version measured.
        weights_sha256: Of the file of the model's weights, as tags name it too; of the runs of a
            cross-validation, a hash of theirs.
        audiotag: The version that measured.
        heard_seconds: Median of how much of a clip is heard at once.
        shortest_crop, longest_crop: Seconds of the crops that the model was trained on, as far as
            its folder says.
        published_map: Mean average precision that its authors published, of the authors' own copy
            of AudioSet's evaluation clips; None of a model that is not a published one by name.
        published_in: Where they published it.
    """

    model: str
    data: str
    split: str | None
    fold: int | None
    clips: int
    keys: str
    labels: int
    resamples: int
    figures: dict[str, Figure]
    classes: tuple[ClassFigures, ...]
    confusion: tuple[Confusion, ...] | None
    learnt: int = 0
    data_hash: str | None = None
    weights_sha256: str | None = None
    audiotag: str | None = None
    heard_seconds: float | None = None
    shortest_crop: float | None = None
    longest_crop: float | None = None
    published_map: float | None = None
    published_in: str | None = None

    @property
    def crops_differ(self) -> bool:
        """Whether clips are heard at other lengths than those that the model was trained on."""
        shortest, heard, longest = self.shortest_crop, self.heard_seconds, self.longest_crop
        if shortest is None or heard is None or longest is None:
            return False
        return not shortest / SAME_LENGTH <= heard <= longest * SAME_LENGTH

    @property
    def mean_average_precision(self) -> float:
        """Mean average precision over the classes that have a clip."""
        return self.figures["mAP"].value

    @property
    def accuracy(self) -> float | None:
        """Fraction of clips whose first tag is their label; None unless each has exactly one."""
        return self.figures["accuracy"].value if "accuracy" in self.figures else None

    def to_json(self) -> str:
        """The content of `evaluation.json`: the attributes, with null for NaN."""
        return to_json(self)

    def save(self, folder: Path) -> Path:
        """Write `evaluation.json` into a model folder."""
        with replaced(folder / EVALUATION_FILE) as file:
            file.write(f"{self.to_json()}\n".encode())
        return folder / EVALUATION_FILE


def read_evaluation(folder: Path) -> Evaluation | None:
    """What `Evaluation.save` wrote into a model folder; None if the folder has no such file.

    Raises:
        ModelError: If its `evaluation.json` is damaged.
    """
    path = folder / EVALUATION_FILE
    try:
        values = parse_json(regular(path).read_text(encoding="utf-8"))
        figures = {name: _read_figure(x) for name, x in dict(values["figures"]).items()}
        confusion = values["confusion"]
        return read_record(
            Evaluation,
            values,
            figures=figures,
            classes=tuple(map(_read_class, values["classes"])),
            confusion=None if confusion is None else tuple(map(_read_pair, confusion)),
        )
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}); measure again with audiotag evaluate --save"
        ) from error


def _read_class(values: Any) -> ClassFigures:
    precision, auc = (_read_figure(values[name]) for name in ("average_precision", "auc"))
    return read_record(ClassFigures, values, average_precision=precision, auc=auc)


def _read_pair(values: Any) -> Confusion:
    return read_record(Confusion, values)


def _read_figure(values: Any) -> Figure:
    return read_record(Figure, {k: math.nan if x is None else x for k, x in dict(values).items()})


def to_json(record: Any) -> str:
    """A dataclass as JSON, with null for NaN and infinity, which JSON does not have."""
    return json.dumps(_without_nan(asdict(record)), ensure_ascii=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(x) for key, x in value.items()}
    if isinstance(value, tuple):
        return [_without_nan(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
