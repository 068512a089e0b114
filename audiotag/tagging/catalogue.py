"""The catalogue: models that can be used without another download, and those to train."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from audiotag.architectures import ARCHITECTURES
from audiotag.errors import ModelError
from audiotag.hub.cache import CachedModel, cached_models
from audiotag.hub.published import is_here
from audiotag.models.config import read_config
from audiotag.models.folder import CONFIG_FILE, DEFAULT_NAME, WEIGHTS_FILE
from audiotag.models.published.figures import PUBLISHED
from audiotag.models.published.names import MODELS, PublishedModel, architecture_of
from audiotag.models.speed_record import read_speeds
from audiotag.models.transformers.folder import KIND, is_classifier, labels_of, read_values
from audiotag.tagging.locate import model_folder


@dataclass(frozen=True)
class Entry:
    """A model with weights.

    Attributes:
        name: Its name for `--model`.
        architecture: Its backbone.
        classes: Number of labels.
        size: Bytes of its weights; for a model from the Hub, of all its files in the cache.
        cached: Its entry in the cache, if it is from the Hub.
    """

    name: str
    architecture: str
    classes: int
    size: int
    cached: CachedModel | None = None


@dataclass(frozen=True)
class Architecture:
    """A backbone that can be built, with AudioSet's 527 classes.

    Attributes:
        name: Its name for recipes.
        method: The kind of its spatial convolutions.
        parameters: Trainable numbers.
        macs: Multiply-accumulates for a clip of 10 s.
        published_map: AudioSet mAP in % that its authors published; None if they did not.
        source: Where it was published.
    """

    name: str
    method: str
    parameters: int
    macs: int
    published_map: float | None
    source: str


def embedded() -> list[Entry]:
    """The model that comes with the package."""
    found = _entry(DEFAULT_NAME, model_folder(None))
    return [] if found is None else [found]


def downloaded() -> list[Entry]:
    """Models from the Hub in the cache, converted ones among them, in alphabetical order."""
    return [
        replace(entry, size=model.size, cached=model)
        for model in cached_models()
        if (entry := _entry(model.name, model.folder)) is not None
    ]


@dataclass(frozen=True)
class Choice:
    """A published model to choose.

    Attributes:
        model: What is known of it.
        speed: Clips of 10 s that it computes in a second on this machine's CPU; None if that was
            not measured.
        is_here: Whether it can be used without a download.
    """

    model: PublishedModel
    speed: float | None
    is_here: bool


def choices(names: Iterable[str] = tuple(MODELS)) -> list[Choice]:
    """Published models of these names, the best first."""
    speeds = read_speeds()
    models = sorted((MODELS[name] for name in names), key=lambda x: (-x.score, x.megabytes))
    return [
        Choice(x, speeds.get(x.name, speeds.get(architecture_of(x.name))), is_here(x))
        for x in models
    ]


def trainable() -> Iterator[Architecture]:
    """Every architecture of this package, in alphabetical order."""
    return map(_architecture, ARCHITECTURES)


def _architecture(name: str) -> Architecture:
    # Imported here: torch takes seconds, and the other lists do not need it.
    from audiotag.backbones.complexity import describe

    parameters, macs = describe(name)
    published, source = PUBLISHED.get(name, (None, ""))
    return Architecture(name, _method(name), parameters, macs, published, source)


def _method(name: str) -> str:
    if "dcls" in name:
        return "DCLS bilinear 17x17" if name.endswith("17") else "DCLS-Gauss 23x23"
    if name.startswith("ced"):
        return "transformer"
    if name == "yamnet":
        return "MobileNetV1"
    return "MobileNetV3" if name.startswith("mn") else "7x7"


def _entry(name: str, folder: Path) -> Entry | None:
    """The model in a folder, if there is one."""
    try:
        size = (folder / WEIGHTS_FILE).stat().st_size
        if is_classifier(folder):
            values = read_values(folder / CONFIG_FILE)
            return Entry(name, f"transformers {values[KIND]}", len(labels_of(values)), size)
        config = read_config(folder)
    except (OSError, ModelError):
        return None
    return Entry(name, config.architecture, len(config.labels), size)
