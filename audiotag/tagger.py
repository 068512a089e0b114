"""The tagger: front end, backbone and labels, kept together in a model folder.

A model folder holds `config.json` (architecture and its arguments, front end, labels, versions) and
`model.safetensors` (the backbone's state dict).
"""

import inspect
import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from audiotag.backbones import architectures
from audiotag.dcls import DepthwiseConv2d, fold_dcls
from audiotag.errors import ModelError
from audiotag.features import LogMel
from audiotag.features_efficientat import EfficientATMel
from audiotag.labels import Label, Labels
from audiotag.replacing import replaced

if TYPE_CHECKING:
    from audiotag.tagging import FileTags

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT_VERSION = 1
MIN_DURATION = 2.0  # seconds; shorter clips are repeated up to it
VERSIONED = ("torch", "timm", "dcls")
FRONT_ENDS: dict[str, type[nn.Module]] = {
    "log_mel": LogMel,
    "efficientat_mel": EfficientATMel,
}


@dataclass(frozen=True)
class TaggerConfig:
    """All that is needed, beside weights, to build a tagger again.

    Attributes:
        architecture: Name of the backbone in timm's registry.
        labels: The classes, in the order of the logits.
        model_args: Arguments of the architecture.
        front_end: Name of the front end.
        front_end_args: Arguments of the front end.
        min_duration: Seconds that a shorter clip is repeated up to.
    """

    architecture: str
    labels: Labels
    model_args: dict[str, Any] = field(default_factory=dict)
    front_end: str = "log_mel"
    front_end_args: dict[str, Any] = field(default_factory=dict)
    min_duration: float = MIN_DURATION

    def to_json(self) -> str:
        """The text of `config.json`; `architecture`, `num_classes`, `model_args` as timm's."""
        return json.dumps(
            {
                "library_name": "audiotag",
                "format_version": FORMAT_VERSION,
                "architecture": self.architecture,
                "num_classes": len(self.labels),
                "model_args": {"in_chans": 1, **self.model_args},
                "front_end": {"name": self.front_end, **self.front_end_args},
                "min_duration": self.min_duration,
                "labels": [{"name": label.name, "mid": label.mid} for label in self.labels],
                "versions": {name: version(name) for name in VERSIONED},
            },
            indent=1,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "TaggerConfig":
        """Read the text of `config.json`.

        Raises:
            KeyError, ValueError, TypeError: If it is not one.
        """
        values = json.loads(text)
        if values["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {values['format_version']} is not {FORMAT_VERSION}")
        front_end = dict(values["front_end"])
        return cls(
            architecture=values["architecture"],
            labels=Labels(Label(x["name"], x["mid"]) for x in values["labels"]),
            model_args={k: v for k, v in values["model_args"].items() if k != "in_chans"},
            front_end=front_end.pop("name"),
            front_end_args=front_end,
            min_duration=values["min_duration"],
        )


class Tagger(nn.Module):
    """Waveforms in, logits of named classes out.

    Attributes:
        features: Front end, waveform (B, T) -> maps (B, 1, n_mels, frames).
        backbone: Maps -> logits (B, classes).
        labels: The classes.
        config: What `config.json` holds.
        name: How messages call this model.
    """

    def __init__(
        self, config: TaggerConfig, features: nn.Module, backbone: nn.Module, name: str = "model"
    ) -> None:
        super().__init__()
        self.config, self.labels, self.name = config, config.labels, name
        self.features = features
        self.backbone = backbone

    @classmethod
    def create(cls, config: TaggerConfig, name: str | None = None) -> "Tagger":
        """A tagger with fresh weights.

        Raises:
            ModelError: If the architecture, the front end or an argument of either is unknown.
        """
        if config.architecture not in architectures():
            raise ModelError(
                f"unknown architecture {config.architecture!r}; "
                f"choose one of {', '.join(architectures())}"
            )
        if config.front_end not in FRONT_ENDS:
            raise ModelError(
                f"unknown front end {config.front_end!r}; choose one of {', '.join(FRONT_ENDS)}"
            )
        try:
            features = FRONT_ENDS[config.front_end](**config.front_end_args)
            backbone = timm.create_model(
                config.architecture, num_classes=len(config.labels), **config.model_args
            )
        except TypeError as error:
            raise ModelError(f"{config.architecture}: {error}; check the arguments") from error
        return cls(config, features, backbone, name or config.architecture)

    @classmethod
    def load(cls, folder: Path | str) -> "Tagger":
        """The tagger of a model folder, in evaluation mode, on the CPU.

        Raises:
            ModelError: If a file is missing or damaged, or weights and config do not fit.
        """
        folder = Path(folder)
        tagger = cls.create(_read_config(folder), name=folder.name)
        state = _read_weights(folder)
        _check_fit(tagger.backbone.state_dict(), state, folder)
        tagger.backbone.load_state_dict(state)
        return tagger.eval()

    def save(self, folder: Path | str, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors` into `folder`, each moved into place.

        Shared positions are written once for each convolution that uses them.

        Args:
            folder: Made if it does not exist.
            dtype: Type of floating-point weights in the file; theirs unless given.

        Raises:
            ModelError: If the DCLS convolutions have been folded: positions would be lost.
        """
        if any(isinstance(module, DepthwiseConv2d) for module in self.backbone.modules()):
            raise ModelError(f"{self.name}: a folded model cannot be saved; save before folding")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: _for_file(x, dtype) for key, x in self.backbone.state_dict().items()}
        with replaced(folder / WEIGHTS_FILE) as file:
            file.write(to_bytes(state, metadata={"format": "pt"}))
        with replaced(folder / CONFIG_FILE) as file:
            file.write(f"{self._resolved_config().to_json()}\n".encode())

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms it takes."""
        return cast(int, self.features.sample_rate)

    @property
    def min_duration(self) -> float:
        """Seconds; shorter clips are repeated up to this."""
        return self.config.min_duration

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    def forward(self, waveform: Tensor) -> Tensor:
        """Logits (B, classes) of waveforms (B, T)."""
        return self.backbone(self.features(waveform))

    def embed(self, waveform: Tensor) -> Tensor:
        """What the classifier sees, (B, D), of waveforms (B, T)."""
        backbone = cast(Any, self.backbone)  # timm's interface, which nn.Module does not declare
        maps = backbone.forward_features(self.features(waveform))
        return backbone.forward_head(maps, pre_logits=True)

    def fold(self) -> "Tagger":
        """Turn, in place, each DCLS convolution into the plain one that computes the same."""
        fold_dcls(self.backbone)
        return self

    def tag(self, path: Path | str, **options) -> "FileTags":
        """Tags of an audio file, the same as `audiotag tag` prints.

        Args:
            path: Any file that `audio.stream` reads.
            options: Fields of `tagging.TagOptions`.

        Raises:
            AudioError: If the file cannot be decoded.
        """
        from audiotag.tagging import TagOptions, tag_file

        return tag_file(self, Path(path), TagOptions(**options))

    def _resolved_config(self) -> TaggerConfig:
        """The config with the front end's defaults spelled out: they are part of every figure."""
        parameters = inspect.signature(FRONT_ENDS[self.config.front_end]).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        return TaggerConfig(
            **{**vars(self.config), "front_end_args": {**defaults, **self.config.front_end_args}}
        )


def _for_file(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(dtype)
    return tensor.clone(memory_format=torch.contiguous_format)


def _read_config(folder: Path) -> TaggerConfig:
    try:
        return TaggerConfig.from_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model folder: {CONFIG_FILE} cannot be read ({error.strerror}); "
            "give a folder written by audiotag train, convert or pull"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{folder / CONFIG_FILE} is not an audiotag config ({error}); "
            "make the folder again with audiotag train, convert or pull"
        ) from error


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}); copy or pull the model again"
        ) from error


def _check_fit(model: dict[str, Tensor], state: dict[str, Tensor], folder: Path) -> None:
    """Raise a ModelError naming the first keys and shapes in which the two differ."""
    wrong = [f"{key} is missing" for key in model.keys() - state.keys()]
    wrong += [f"{key} is not in the architecture" for key in state.keys() - model.keys()]
    wrong += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(model[key].shape)}"
        for key in model.keys() & state.keys()
        if model[key].shape != state[key].shape
    ]
    if wrong:
        raise ModelError(
            f"{folder}: weights do not fit {CONFIG_FILE} (its architecture and labels): "
            + "; ".join(sorted(wrong)[:3])
        )
