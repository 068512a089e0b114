"""The config of a model, `config.json` in its folder; read and written without torch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from audiotag.errors import ModelError
from audiotag.label_set import Label, Labels
from audiotag.models.calibration import Calibration
from audiotag.models.checks import (
    MIN_WINDOW,
    USUAL_DURATION,
    check_architecture,
    check_biases,
    check_count,
    check_dcls,
    check_duration,
    check_flag,
    check_front_end,
    check_network,
    check_spectrogram,
    check_thresholds,
)
from audiotag.models.folder import CONFIG_FILE, regular
from audiotag.models.transformers.folder import USES, is_classifier_config
from audiotag.runtime.files import replaced
from audiotag.runtime.json_text import parse_json, shown

FORMAT_VERSION = 1
CALIBRATION = "calibration"  # its key
MIN_DURATION = 3.0  # seconds; shorter clips are followed by silence up to it
MAX_BYTES = 32_000_000  # of the file
VERSIONED = ("torch", "timm", "dcls")  # as far as they are installed


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build a model, except its weights.

    Attributes:
        architecture: Name of the backbone in timm's registry.
        labels: The classes, in the order of the logits.
        model_args: Arguments of the architecture.
        dcls: Arguments of `swap.swap_convs`, if convolutions were replaced by DCLS ones.
        front_end: Name of the front end.
        front_end_args: Arguments of the front end.
        min_duration: Shortest input in seconds; shorter clips are padded with silence. For a model
            trained with audiotag, the shortest crop in training.
        window: Length in seconds of every window, if the network takes only one length, as vision
            transformers do; else None.
        thresholds: For each class, in the order of the labels, the lowest score at which it counts
            as present; None if none were fitted.
        calibration: The calibration of its scores; None if there is none.
        softmax: Whether scores are a softmax and add up to one, as for a model trained on clips
            with exactly one label each; else each score is a sigmoid.
        folded: Whether the weights are those of a folded backbone, which cannot be trained.

    Raises:
        ModelError: If a value is of a wrong type, or out of its range (`models.checks`).
    """

    architecture: str
    labels: Labels
    model_args: dict[str, Any] = field(default_factory=dict)
    dcls: dict[str, Any] | None = None
    front_end: str = "log_mel"
    front_end_args: dict[str, Any] = field(default_factory=dict)
    min_duration: float = MIN_DURATION
    window: float | None = None
    thresholds: tuple[float, ...] | None = None
    calibration: Calibration | None = None
    softmax: bool = False
    folded: bool = False

    def __post_init__(self) -> None:
        check_architecture(self.architecture)
        check_count(len(self.labels))
        check_network(self.model_args)
        if self.dcls is not None:
            check_dcls("dcls", self.dcls)
        check_front_end(self.front_end, self.front_end_args)
        check_duration("min_duration", self.min_duration)
        if self.window is not None:
            check_duration("window", self.window, MIN_WINDOW)
        longest = max(self.min_duration, self.window or USUAL_DURATION)
        check_spectrogram(self.front_end_args, longest)
        if self.thresholds is not None:
            check_thresholds(self.thresholds, len(self.labels))
        if self.calibration is not None:
            check_biases(len(self.calibration.biases), len(self.labels))
        check_flag("softmax", self.softmax)
        check_flag("folded", self.folded)

    @property
    def can_timm_build(self) -> bool:
        """Whether timm alone can build the backbone: no convolution in it was replaced."""
        return self.dcls is None and not self.folded

    def to_json(self, timm_config: dict[str, Any] | None = None) -> str:
        """The text of `config.json`; `architecture`, `num_classes`, `model_args` are timm's keys.

        Args:
            timm_config: Written as "pretrained_cfg"; with it `timm.create_model("hf-hub:...")`
                builds the backbone from the same file.
        """
        return json.dumps(
            {
                "library_name": "audiotag",
                "format_version": FORMAT_VERSION,
                "architecture": self.architecture,
                "num_classes": len(self.labels),
                "model_args": {"in_chans": 1, **self.model_args},
                **({} if timm_config is None else {"pretrained_cfg": timm_config}),
                **({} if self.dcls is None else {"dcls": self.dcls}),
                "front_end": {"name": self.front_end, **self.front_end_args},
                "min_duration": self.min_duration,
                **({} if self.window is None else {"window": self.window}),
                "labels": [{"name": label.name, "mid": label.mid} for label in self.labels],
                **({} if self.thresholds is None else {"thresholds": self.thresholds}),
                **({} if (fitted := self.calibration) is None else {CALIBRATION: fitted.to_json()}),
                **({"softmax": True} if self.softmax else {}),
                **({"folded": True} if self.folded else {}),
                "versions": dict(_versions()),
            },
            indent=1,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Read the text of `config.json`.

        Raises:
            ModelError: If it is not a config, or a value is of a wrong type or out of its range.
        """
        try:
            return cls(**_fields(parse_json(text)))
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ModelError(f"it is not an audiotag config ({_reason(error)})") from error


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `ModelConfig` in the values of a file."""
    if values["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"format version {shown(values['format_version'])} is not {FORMAT_VERSION}"
        )
    front_end, thresholds = dict(values["front_end"]), values.get("thresholds")
    check_count(len(values["labels"]))
    return {
        "architecture": values["architecture"],
        "labels": Labels(Label(x["name"], x["mid"]) for x in values["labels"]),
        "model_args": {k: v for k, v in dict(values["model_args"]).items() if k != "in_chans"},
        "dcls": values.get("dcls"),
        "front_end": front_end.pop("name"),
        "front_end_args": front_end,
        "min_duration": values["min_duration"],
        "window": values.get("window"),
        "thresholds": tuple(thresholds) if isinstance(thresholds, list) else thresholds,
        "calibration": _calibration(values.get(CALIBRATION)),
        "softmax": values.get("softmax", False),
        "folded": values.get("folded", False),
    }


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _versions() -> Iterator[tuple[str, str]]:
    for name in VERSIONED:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def _calibration(values: dict[str, Any] | None) -> Calibration | None:
    return None if values is None else Calibration.from_json(values)


def store_thresholds(folder: Path, thresholds: Sequence[float]) -> None:
    """Write thresholds of the classes into a model folder's config; other values are kept.

    Raises:
        ModelError: If the folder has no config, or a config with another number of labels.
    """
    labels = read_config(folder).labels
    if len(thresholds) != len(labels):
        raise ModelError(f"{folder} has {len(labels)} labels, not {len(thresholds)}")
    _store(folder, "thresholds", list(thresholds))


def store_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration into a model folder's config; other values are kept.

    Raises:
        ModelError: If the folder has no config, or a config with another number of labels.
    """
    labels = read_config(folder).labels
    if len(calibration.biases) != len(labels):
        raise ModelError(f"{folder} has {len(labels)} labels, not {len(calibration.biases)}")
    _store(folder, CALIBRATION, calibration.to_json())


def _store(folder: Path, key: str, value: Any) -> None:
    values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    text = json.dumps({**values, key: value}, indent=1, ensure_ascii=False)
    with replaced(folder / CONFIG_FILE) as file:
        file.write(f"{text}\n".encode())


def read_config(folder: Path) -> ModelConfig:
    """The config of a model folder.

    Raises:
        ModelError: If the folder has none, or it is not audiotag's.
    """
    path = folder / CONFIG_FILE
    try:
        if regular(path).stat().st_size > MAX_BYTES:
            raise ModelError(f"it is larger than {MAX_BYTES:,} bytes, which no config is")
        return ModelConfig.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model folder: {CONFIG_FILE} cannot be read ({error.strerror}); "
            "give a folder written by audiotag train, convert or pull"
        ) from error
    except (ModelError, ValueError) as error:
        if is_classifier_config(path):
            raise ModelError(f"{folder} {USES}") from error
        raise ModelError(
            f"{path}: {error}; make the folder again with audiotag train, convert or pull"
        ) from error
