"""The tagger: front end, backbone and labels, kept together in a model folder.

A model folder holds `config.json` (architecture and its arguments, front end, labels, versions),
`model.safetensors` (the backbone's state dict) and, where it was exported, `model.onnx`; where it
was measured, `evaluation.json`.
"""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from audiotag.backbones import architectures
from audiotag.config import (
    CONFIG_FILE,
    EVALUATION_FILE,
    ONNX_FILE,
    WEIGHTS_FILE,
    TaggerConfig,
    read_config,
)
from audiotag.errors import ModelError
from audiotag.features import LogMel
from audiotag.features_efficientat import EfficientATMel
from audiotag.features_yamnet import YamnetMel
from audiotag.folding import fold, take_folded_form
from audiotag.locate import model_folder
from audiotag.precision import autocast
from audiotag.pretrained import load_vision_weights
from audiotag.replacing import replaced
from audiotag.swap import swap_convs

if TYPE_CHECKING:
    from audiotag.results import FileTags

FRONT_ENDS: dict[str, type[nn.Module]] = {
    "log_mel": LogMel,
    "efficientat_mel": EfficientATMel,
    "yamnet_mel": YamnetMel,
}
# What weights are initialised with.
VALUE_SETTERS = {"uniform_", "normal_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_"}
VALUE_SETTERS |= {"kaiming_uniform_", "__setitem__"}
ARITHMETIC = {"add", "sub", "mul", "div", "sqrt"}
# Of the configuration that timm keeps of each architecture, what loading weights depends on.
TIMM_KEYS = ("first_conv", "classifier", "pool_size", "fixed_input_size")


class Tagger(nn.Module):
    """Waveforms in, logits of named classes out.

    Attributes:
        features: Front end, waveform (B, T) -> maps (B, 1, n_mels, frames).
        backbone: Maps -> logits (B, classes).
        labels: The classes.
        config: What `config.json` holds.
        name: How messages call this model.
        precision: Of matrix products where windows are scored, a key of `PRECISIONS`: "fp32"
            unless set.
    """

    precision = "fp32"

    def __init__(
        self, config: TaggerConfig, features: nn.Module, backbone: nn.Module, name: str = "model"
    ) -> None:
        super().__init__()
        self.config, self.labels, self.name = config, config.labels, name
        self.features = features
        self.backbone = backbone

    @classmethod
    def create(
        cls, config: TaggerConfig, name: str | None = None, pretrained: bool = False
    ) -> "Tagger":
        """A tagger with fresh weights.

        Args:
            config: What to build.
            name: How messages call it; by its architecture unless given.
            pretrained: Start the backbone from the published image model's weights, before any
                convolution is replaced.

        Raises:
            ModelError: If the architecture, the front end or an argument of either is unknown.
        """
        features = _build_features(config)
        backbone = _build_backbone(config, pretrained)
        return cls(config, features, backbone, name or config.architecture)

    @classmethod
    def load(cls, folder: Path | str) -> "Tagger":
        """The tagger of a model folder, in evaluation mode, on the CPU.

        Raises:
            ModelError: If a file is missing or damaged, or weights and config do not fit.
        """
        folder = Path(folder)
        config, state = read_config(folder), _read_weights(folder)
        features = _build_features(config)
        backbone = _build_folded(config, state) if config.folded else _build_backbone(config)
        _check_fit(backbone.state_dict(), state, folder)
        if config.folded:
            state = {key: x.float() if x.is_floating_point() else x for key, x in state.items()}
        backbone.load_state_dict(state, assign=config.folded)
        return cls(config, features, backbone, folder.name).eval()

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> "Tagger":
        """A tagger to train on or to push: as it was saved, in evaluation mode, on the CPU.

        `load_tagger` folds it for use and puts it on its device.

        Args:
            model: Model folder, Hub id (`owner/name[@revision]`), or "default" or nothing for the
                embedded default.
            revision: Branch, tag or commit of a Hub id.
            token: For the Hub, instead of HF_TOKEN or the one of `hf auth login`.

        Raises:
            ModelError: If there is no such model, or the folder does not hold a tagger.
            HubError: If a Hub model cannot be had.
        """
        if revision is None and token is None:
            return cls.load(model_folder(model))
        from audiotag.hub import pull

        return cls.load(pull(str(model), revision=revision, token=token))

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Share the tagger on the Hugging Face Hub, with a model card.

        Args:
            repo_id: `owner/name`; made if it does not exist.
            options: Those of `hub_push.push`: private, revision, tag, commit_message, create_pr,
                token, folded, license.

        Returns:
            The page of the model or of the pull request.

        Raises:
            ModelError: If it has been folded.
            HubError: If the Hub refuses, or the repository holds something else.
        """
        from audiotag.hub_push import push

        with TemporaryDirectory() as folder:
            self.save(folder)
            return cast(str, push(folder, repo_id, **options).url)

    def save(self, folder: Path | str, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors` into `folder`, each moved into place.

        Shared positions are written once for each convolution that uses them. A `model.onnx` or
        `evaluation.json` that lies there is removed: it would be that of other weights.

        Args:
            folder: Made if it does not exist.
            dtype: Type of floating-point weights in the file; theirs unless given.

        Raises:
            ModelError: If the DCLS convolutions have been folded and the config does not say so:
                positions would be lost. If a weight is too large for `dtype`.
        """
        if getattr(self.backbone, "is_folded", False) and not self.config.folded:
            raise ModelError(
                f"{self.name}: folding has lost its positions, so it cannot be saved; save before "
                "folding, or what Tagger.from_pretrained loads"
            )
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: _for_file(x, dtype) for key, x in self.backbone.state_dict().items()}
        for name in (ONNX_FILE, EVALUATION_FILE):
            (folder / name).unlink(missing_ok=True)
        with replaced(folder / WEIGHTS_FILE) as file:
            file.write(to_bytes(state, metadata={"format": "pt"}))
        with replaced(folder / CONFIG_FILE) as file:
            file.write(f"{self.resolved_config().to_json(self.timm_config())}\n".encode())

    def timm_config(self) -> dict[str, Any] | None:
        """What timm needs to build the backbone from `config.json`, its "pretrained_cfg"; nothing
        for a backbone that timm alone cannot build."""
        if self.config.dcls is not None or self.config.folded:
            return None
        own = cast(dict[str, Any], self.backbone.default_cfg)
        cfg = {key: own[key] for key in TIMM_KEYS if own.get(key) is not None}
        size = (1, *own["input_size"][1:])
        return {**cfg, "input_size": size, "num_classes": len(self.labels)}

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms it takes."""
        return cast(int, self.features.sample_rate)

    @property
    def min_duration(self) -> float:
        """Seconds; shorter clips are followed by silence up to this."""
        return self.config.min_duration

    @property
    def thresholds(self) -> np.ndarray | None:
        """Score from which on each class counts as heard, (classes,); None if none were fitted."""
        fitted = self.config.thresholds
        return None if fitted is None else np.array(fitted)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    @property
    def is_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return self.device.type == "cuda"

    def forward(self, waveform: Tensor) -> Tensor:
        """Logits (B, classes) of waveforms (B, T)."""
        return self.backbone(self.features(waveform))

    def embed(self, waveform: Tensor) -> Tensor:
        """What the classifier sees, (B, D), of waveforms (B, T)."""
        backbone = cast(Any, self.backbone)  # timm's interface, which nn.Module does not declare
        maps = backbone.forward_features(self.features(waveform))
        return backbone.forward_head(maps, pre_logits=True)

    def scores_of(self, logits: Tensor) -> Tensor:
        """Scores (B, classes) in [0, 1] of logits (B, classes)."""
        return logits.softmax(1) if self.config.softmax else logits.sigmoid()

    def score_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T).

        Raises:
            ModelError: If they do not fit on the device at once.
        """
        return self._compute(lambda x: self.scores_of(self(x).float()), waveforms)

    def logit_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Logits (B, classes) of waveforms (B, T); errors as `score_windows`."""
        return self._compute(lambda x: self(x).float(), waveforms)

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T); errors as `score_windows`."""
        return self._compute(lambda x: self.embed(x).float(), waveforms)

    def fold(self) -> "Tagger":
        """Turn, in place, the backbone into the plain one that computes the same, for use only:
        DCLS kernels built, branches and batch norms merged."""
        fold(self.backbone.eval())
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

    def _compute(self, model: Callable[[Tensor], Tensor], waveforms: np.ndarray) -> np.ndarray:
        self.eval()
        try:
            with torch.inference_mode(), autocast(self.device.type, self.precision):
                return model(torch.from_numpy(waveforms).to(self.device)).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{len(waveforms)} windows of this length do not fit on the device at once; "
                "give a smaller batch size (--batch-size) or shorter windows (--window)"
            ) from error

    def resolved_config(self) -> TaggerConfig:
        """The config with the front end's defaults spelled out: they are part of every figure."""
        parameters = inspect.signature(FRONT_ENDS[self.config.front_end]).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        return TaggerConfig(
            **{**vars(self.config), "front_end_args": {**defaults, **self.config.front_end_args}}
        )


def _build_features(config: TaggerConfig) -> nn.Module:
    """The front end of a config."""
    if config.front_end not in FRONT_ENDS:
        raise ModelError(
            f"unknown front end {config.front_end!r}; choose one of {', '.join(FRONT_ENDS)}"
        )
    try:
        return FRONT_ENDS[config.front_end](**config.front_end_args)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{config.front_end}: {error}; check the arguments") from error


class _NoInitialisation(TorchFunctionMode):
    """Leaves out what only sets or computes values: on the meta device there are none, and PyTorch
    takes most of the time of building a network for pretending."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in VALUE_SETTERS:
            return args[0] if args else kwargs["tensor"]  # as torch.nn.init passes it
        if name in ARITHMETIC:
            tensors = [x for x in args if isinstance(x, Tensor)]
            if all(x.is_meta for x in tensors):
                return tensors[0].new_empty(torch.broadcast_shapes(*(x.shape for x in tensors)))
        return func(*args, **kwargs)


def _build_folded(config: TaggerConfig, state: dict[str, Tensor]) -> nn.Module:
    """The network of a folded config, without values, in the shapes of its weights."""
    if config.dcls is not None:  # a dense start has values
        config = replace(config, dcls={**config.dcls, "init": "random"})
    with torch.device("meta"), _NoInitialisation():
        backbone = _build_backbone(config)
        take_folded_form(backbone, {key: x.shape for key, x in state.items()})
    stored = backbone.state_dict().keys()
    if missing := [name for name, _ in backbone.named_buffers() if name not in stored]:
        raise ModelError(
            f"{config.architecture} has values that no file holds ({missing[0]}), so it cannot be "
            "stored folded; save or push it unfolded"
        )
    return backbone


def _build_backbone(config: TaggerConfig, pretrained: bool = False) -> nn.Module:
    """The network of a config, with fresh weights or an image model's."""
    name = config.architecture
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise ModelError(
            f"unknown architecture {name!r}; choose {' or '.join(near) or 'a model of timm'}, or "
            f"one of {', '.join(architectures())}"
        )
    arguments = {"in_chans": 1, "num_classes": len(config.labels), **config.model_args}
    try:
        backbone = timm.create_model(name, **arguments)
    except (TypeError, AssertionError, ValueError) as error:
        raise ModelError(f"{name}: {error}; check the arguments") from error
    if pretrained:
        load_vision_weights(backbone, name)
    if config.dcls is not None:
        swap_convs(backbone, **config.dcls)
    return backbone


def _for_file(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if dtype is not None and tensor.is_floating_point():
        largest = tensor.abs().max() if tensor.numel() else 0.0
        if largest > torch.finfo(dtype).max:
            raise ModelError(f"a weight of {largest:g} is too large for {dtype}; keep its own type")
        tensor = tensor.to(dtype)
    return tensor.clone(memory_format=torch.contiguous_format)


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
