"""A model in torch: front end, backbone and labels.

A model folder holds it: `config.json` (architecture and its arguments, front end, labels, versions)
and `model.safetensors` (the backbone's state dict). It also has `model.onnx` if the model was
exported, and `evaluation.json` if it was evaluated.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from audiotag.errors import ModelError
from audiotag.features.front_ends import build_features, resolve_arguments
from audiotag.layers.folding import fold
from audiotag.models.build import build_backbone, build_folded
from audiotag.models.computing import computing
from audiotag.models.config import ModelConfig, read_config
from audiotag.models.engine import Configured
from audiotag.models.folder import CONFIG_FILE, EVALUATION_FILE, ONNX_FILE, WEIGHTS_FILE, regular
from audiotag.models.size_limit import limited, limited_to
from audiotag.models.weights_file import readable
from audiotag.runtime.escapes import visible
from audiotag.runtime.files import explained, make_folder, replaced
from audiotag.runtime.json_text import shown
from audiotag.runtime.precision import autocast

# Keys of timm's configuration of an architecture that are needed to load its weights.
TIMM_KEYS = ("first_conv", "classifier", "pool_size", "fixed_input_size")
SHOWN = 100  # characters of a name in a file of weights


class Model(Configured, nn.Module):
    """Waveforms in, logits of named classes out.

    Attributes:
        features: Front end, waveform (B, T) -> maps (B, 1, n_mels, frames).
        backbone: Maps -> logits (B, classes).
        config: The content of `config.json`.
        name: The model's name in messages.
        precision: Number format of matrix products when windows are scored, a key of `PRECISIONS`;
            "fp32" unless set.
    """

    precision = "fp32"

    def __init__(
        self, config: ModelConfig, features: nn.Module, backbone: nn.Module, name: str = "model"
    ) -> None:
        super().__init__()
        self.config, self.name = config, name
        self.features = features
        self.backbone = backbone

    @classmethod
    def create(cls, config: ModelConfig, name: str | None = None, pretrained: bool = False) -> Self:
        """A model with new weights.

        Args:
            config: What to build.
            name: Its name in messages; the architecture unless given.
            pretrained: Load the published image model's weights into the backbone, before any
                convolution is replaced.

        Raises:
            ModelError: If the architecture, the front end or an argument of either is unknown.

        Example:
            >>> import audiotag
            >>> from audiotag.label_set import Labels
            >>> from audiotag.models.config import ModelConfig
            >>> tagger = audiotag.Tagger.create(ModelConfig("mn04_as", Labels(["cat", "dog"])))
            >>> tagger.name, tagger.labels.names
            ('mn04_as', ('cat', 'dog'))
        """
        features = build_features(config.front_end, config.front_end_args)
        with limited():
            backbone = build_backbone(config, pretrained)
        return cls(config, features, backbone, name or config.architecture)

    @classmethod
    def load(cls, folder: Path | str, name: str | None = None) -> Self:
        """The model of a model folder, in evaluation mode, on the CPU.

        Args:
            folder: A model folder.
            name: Its name in messages; the folder unless given.

        Raises:
            ModelError: If a file is missing or damaged, or weights and config do not fit.

        Example:
            >>> import audiotag
            >>> audiotag.Tagger.from_pretrained().save("mine")
            >>> audiotag.Tagger.load("mine").name
            'mine'
        """
        folder = Path(folder)
        config, state = read_config(folder), _read_weights(folder)
        features = build_features(config.front_end, config.front_end_args)
        with limited_to(state.values()):
            backbone = build_folded(config, state) if config.folded else build_backbone(config)
        _check_fit(backbone.state_dict(), state, folder)
        if config.folded:
            state = {key: x.float() if x.is_floating_point() else x for key, x in state.items()}
        backbone.load_state_dict(state, assign=config.folded)
        return cls(config, features, backbone, name or folder.name).eval()

    def save(self, folder: Path | str, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors` into `folder`, each whole or not at all.

        Shared positions are written for each convolution that uses them. An existing `model.onnx`
        or `evaluation.json` is removed, as it belongs to other weights.

        Args:
            folder: Made if it does not exist.
            dtype: Type of floating-point weights in the file; the model's own unless given.

        Raises:
            ModelError: If `fold` was called on this model, which loses the positions; or if a
                weight is too large for `dtype`.

        Example:
            >>> import audiotag, pathlib, torch
            >>> audiotag.Tagger.from_pretrained().save("half", torch.float16)
            >>> sorted(path.name for path in pathlib.Path("half").iterdir())
            ['config.json', 'model.safetensors']
        """
        if getattr(self.backbone, "is_folded", False) and not self.config.folded:
            raise ModelError(
                f"{self.name}: its positions were lost when it was folded, so it cannot be saved; "
                "save before folding, or save what Tagger.from_pretrained loads"
            )
        folder = Path(folder)
        make_folder(folder)
        state = {key: _for_file(x, dtype) for key, x in self.backbone.state_dict().items()}
        for name in (ONNX_FILE, EVALUATION_FILE):
            with explained(folder / name):
                (folder / name).unlink(missing_ok=True)
        with replaced(folder / WEIGHTS_FILE) as file:
            file.write(to_bytes(state, metadata={"format": "pt"}))
        with replaced(folder / CONFIG_FILE) as file:
            file.write(f"{self.resolved_config().to_json(self.timm_config())}\n".encode())

    def timm_config(self) -> dict[str, Any] | None:
        """timm's "pretrained_cfg", with which it builds the backbone from `config.json`; None if
        timm alone cannot build it.

        Example:
            >>> import audiotag
            >>> from audiotag.label_set import Labels
            >>> from audiotag.models.config import ModelConfig
            >>> tagger = audiotag.Tagger.create(ModelConfig("mn04_as", Labels(["cat", "dog"])))
            >>> tagger.timm_config()["num_classes"]
            2
        """
        if not self.config.can_timm_build:
            return None
        own = cast(dict[str, Any], self.backbone.default_cfg)
        cfg = {key: own[key] for key in TIMM_KEYS if own.get(key) is not None}
        size = (1, *own["input_size"][1:])
        return {**cfg, "input_size": size, "num_classes": len(self.labels)}

    @property
    def sample_rate(self) -> int:
        """Sample rate of its input, Hz."""
        return cast(int, self.features.sample_rate)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.backbone.parameters()).device

    @property
    def is_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return self.device.type == "cuda"

    def forward(self, waveform: Tensor) -> Tensor:
        """Logits (B, classes) of waveforms (B, T); called by `model(waveform)`.

        Example:
            >>> import audiotag, torch
            >>> tagger = audiotag.load_tagger(device="cpu")
            >>> tagger(torch.zeros(2, 96_000)).shape
            torch.Size([2, 527])
        """
        return self.backbone(self.features(waveform))

    def embed(self, waveform: Tensor) -> Tensor:
        """Embeddings (B, D), the input of the classifier, of waveforms (B, T).

        Example:
            >>> import audiotag, torch
            >>> tagger = audiotag.load_tagger(device="cpu")
            >>> embedding = tagger.embed(torch.zeros(2, 96_000))
            >>> embedding.shape[0], embedding.ndim
            (2, 2)
        """
        backbone = cast(Any, self.backbone)  # timm's interface, which nn.Module does not declare
        maps = backbone.forward_features(self.features(waveform))
        return backbone.forward_head(maps, pre_logits=True)

    def scores_of(self, logits: Tensor) -> Tensor:
        """Scores (B, classes) in [0, 1] of logits (B, classes), calibrated if the config has a
        calibration.

        Example:
            >>> import audiotag, torch
            >>> tagger = audiotag.load_tagger(device="cpu")
            >>> scores = tagger.scores_of(torch.zeros(1, 527))
            >>> bool((scores == scores[0, 0]).all())  # one line of logits for all classes
            True
        """
        calibration = self.config.calibration
        if calibration is not None:
            logits = logits * calibration.slope + logits.new_tensor(calibration.biases)
        return logits.softmax(1) if self.config.softmax else logits.sigmoid()

    def score_windows(self, waveforms: np.ndarray, double: bool = False) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T); see `Engine.score_windows`.

        Raises:
            ModelError: If they do not fit on the device at once, or the network cannot take them.

        Example:
            >>> import audiotag
            >>> from audiotag.audio.streams import read
            >>> tagger = audiotag.load_tagger()
            >>> samples = read("guitar.mp3", tagger.sample_rate)
            >>> scores = tagger.score_windows(samples[None])
            >>> tagger.labels[scores[0].argmax()].name
            'Music'
        """
        dtype = torch.float64 if double else torch.float32
        columns = len(self.labels)
        return self._compute(lambda x: self.scores_of(self(x).to(dtype)), waveforms, columns)

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T); errors as `score_windows`.

        Example:
            >>> import audiotag, numpy
            >>> tagger = audiotag.load_tagger()
            >>> len(tagger.embed_windows(numpy.zeros((2, 96_000), numpy.float32)))
            2
        """
        return self._compute(lambda x: self.embed(x).float(), waveforms)

    def fold(self) -> Self:
        """Replace the backbone, in place, by a simpler one that computes the same: DCLS kernels
        are built, branches and batch norms merged. It can no longer be trained.

        Example:
            >>> import audiotag, torch
            >>> tagger = audiotag.Tagger.from_pretrained()
            >>> noise = 0.1 * torch.randn(1, 96_000)
            >>> scores = tagger.scores_of(tagger(noise))
            >>> torch.allclose(tagger.scores_of(tagger.fold()(noise)), scores, atol=1e-3)
            True
        """
        fold(self.backbone.eval())
        return self

    def _compute(
        self, model: Callable[[Tensor], Tensor], waveforms: np.ndarray, columns: int | None = None
    ) -> np.ndarray:
        self.eval()
        with (
            computing(self.name, waveforms, self.sample_rate),
            torch.inference_mode(),
            autocast(self.device.type, self.precision),
        ):
            rows = model(torch.from_numpy(waveforms).to(self.device)).cpu().numpy()
        if rows.shape != (len(waveforms), columns or rows.shape[-1]):
            raise ModelError(
                f"{self.name} gives an array of {rows.shape}, not {columns} numbers for each clip; "
                "check the arguments of its architecture"
            )
        return rows

    def resolved_config(self) -> ModelConfig:
        """The config with all arguments of the front end, defaults too: every figure depends on
        them.

        Example:
            >>> import audiotag
            >>> audiotag.Tagger.from_pretrained().resolved_config().front_end_args["n_mels"]
            128
        """
        arguments = resolve_arguments(self.config.front_end, self.config.front_end_args)
        return replace(self.config, front_end_args=arguments)


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
    with readable(path):
        return load_file(regular(path))


def _check_fit(model: dict[str, Tensor], state: dict[str, Tensor], folder: Path) -> None:
    """Raise a ModelError naming the first keys, shapes and types in which the two differ."""
    wrong = [f"{key} is missing" for key in model.keys() - state.keys()]
    wrong += [
        f"{visible(key)[:SHOWN]} is not in the architecture" for key in state.keys() - model.keys()
    ]
    wrong += [
        f"{key} is {shown(tuple(state[key].shape))}, expected {tuple(model[key].shape)}"
        for key in model.keys() & state.keys()
        if model[key].shape != state[key].shape
    ]
    wrong += [
        f"{key} is of type {state[key].dtype}"
        for key in model.keys() & state.keys()
        if model[key].is_floating_point() != state[key].is_floating_point()
    ]
    if wrong:
        raise ModelError(
            f"{folder}: weights do not fit {CONFIG_FILE} (its architecture and labels): "
            + "; ".join(sorted(wrong)[:3])
        )


AnyModel = TypeVar("AnyModel", bound=Model)


def to_device(model: AnyModel, device: torch.device) -> AnyModel:
    """Move a model to a device, its convolutions in channels-last layout, the fastest."""
    model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device)
