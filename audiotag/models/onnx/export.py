"""Export: a model as one ONNX file, whose scores are compared with the model's before it is kept.

The graph takes waveforms (B, samples), or log-mel maps (B, 1, n_mels, frames). It returns `scores`
(B, classes) and `embedding` (B, D). The metadata holds the config under "audiotag". The scores are
not calibrated: the reader applies the config's calibration, which may be fitted after the export.
"""

import copy
import io
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.audio import extensions, streams, windows
from audiotag.errors import ModelError
from audiotag.features.front_ends import build_mel_bank
from audiotag.features.onnx_front_ends import onnx_front_end
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.models.onnx.layers import use_plain_convs, widen_first_block
from audiotag.models.onnx.model import (
    EMBEDDING,
    LOG_MEL,
    MEL_BANK_KEY,
    METADATA_KEY,
    SCORES,
    WAVEFORM,
    OnnxModel,
)
from audiotag.runtime.files import replaced

if TYPE_CHECKING:
    import onnx

OPSET = 18
TRACED = (2, 4.0)  # clips and seconds the graph is traced with; the check uses others
CHECKED = (1.0, 3.3, 10.0, 27.0)  # seconds of the clips that the file is checked with
WINDOW = 10.0  # seconds of the sample clips, as they are tagged
BATCHES = (1, 3)  # clips
TOLERANCE = 1e-4  # of scores
COMPACT_SIZE = 1024  # weights; smaller arrays stay as they are
INT16_MAX = 32767
FRONT_END = "features."  # prefix of its weights' names; 16 bits would raise its noise floor
FRONT_END_NODES = "/features/"
NOISE_LEVEL = 0.2  # of the check's clips; full scale is 1


@dataclass(frozen=True)
class Quantisation:
    """What int8 weights change in the scores of the sample clips.

    Attributes:
        clips: Number of sample clips.
        largest: Largest difference of a score.
        mean: Mean absolute difference over all scores.
        same_first: Number of clips whose first tag stays the same.
    """

    clips: int
    largest: float
    mean: float
    same_first: int

    def __str__(self) -> str:
        return (
            f"the scores of {self.clips} sample clips by {self.largest:.2g} at most, "
            f"{self.mean:.2g} on average"
        )


@dataclass(frozen=True)
class Export:
    """An ONNX file, and how much its scores differ from the model's.

    Attributes:
        path: The file.
        size: Bytes.
        input: "waveform" or "log_mel".
        difference: Largest difference of a score from the model's, before int8.
        quantisation: What int8 changed; None without int8.
    """

    path: Path
    size: int
    input: str
    difference: float
    quantisation: Quantisation | None = None


def export(
    model: Model,
    out: Path,
    *,
    waveform: bool = False,
    int8: bool = False,
    most: float = math.inf,
) -> Export:
    """Write a model, folded, as an ONNX file; nothing is left behind if it fails.

    Args:
        model: Any model in torch; not changed.
        out: File to write.
        waveform: Take waveforms rather than log-mel maps.
        int8: Quantise the weights of matrix products; their inputs are quantised at run time.
        most: Largest change of a score of the sample clips that int8 may make.

    Raises:
        ModelError: If onnx is not installed, or the graph's scores differ from the model's, or int8
            changes them by more than it may.
    """
    if find_spec("onnx") is None:
        raise ModelError("export needs onnx; install it with: pip install 'audiotag-dcls[train]'")
    model = copy.deepcopy(model).cpu().float().eval().fold()
    config = model.resolved_config()
    model.config = replace(model.config, calibration=None)  # the file's reader applies it
    graph = _Graph(model, waveform)
    proto = _trace(graph, _input_of(model, waveform, *TRACED), model.name)
    _add_metadata(proto, config, graph.input)
    content = proto.SerializeToString()
    difference = _check(model, content, out)
    quantisation = None
    if int8:
        float_content, content = content, _compacted(_quantised(proto)).SerializeToString()
        quantisation = _compare(float_content, content)
        if quantisation.largest > most:
            raise ModelError(f"int8 changes {quantisation}, more than {most:g}; leave it out")
    with replaced(out) as file:
        file.write(content)
    return Export(out, len(content), graph.input, difference, quantisation)


class _Graph(nn.Module):
    """What the file computes: scores and embeddings, of log-mel maps or waveforms."""

    def __init__(self, model: Model, waveform: bool) -> None:
        super().__init__()
        config = model.config
        self.input = WAVEFORM if waveform else LOG_MEL
        self.scores_of = model.scores_of
        self.features: nn.Module = nn.Identity()
        if waveform:
            self.features = onnx_front_end(config.front_end, config.front_end_args)
        self.backbone = copy.deepcopy(model.backbone)
        use_plain_convs(self.backbone, _input_of(model, False, *TRACED))
        widen_first_block(self.backbone)
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        backbone = cast(Any, self.backbone)  # timm's interface
        maps = backbone.forward_features(self.features(x))
        scores = self.scores_of(backbone.forward_head(maps))
        return scores, backbone.forward_head(maps, pre_logits=True)


def _trace(graph: _Graph, example: Tensor, name: str) -> "onnx.ModelProto":
    """The graph as ONNX.

    Uses TorchScript. On ten architectures, convolutional and with attention, it is as exact as
    PyTorch's newer exporter, and takes 1 s instead of 10 to 30 s.
    """
    import onnx

    clips = {0: "clips"}
    content = io.BytesIO()
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                graph,
                (example,),
                content,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=OPSET,
                input_names=[graph.input],
                output_names=[SCORES, EMBEDDING],
                dynamic_axes={
                    graph.input: {**clips, example.ndim - 1: "length"},
                    SCORES: clips,
                    EMBEDDING: clips,
                },
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(f"{name} cannot be exported to ONNX: {error}") from error
    return onnx.load_from_string(content.getvalue())


def _add_metadata(proto: "onnx.ModelProto", config: ModelConfig, input: str) -> None:
    text = json.dumps({**json.loads(config.to_json()), "input": input}, ensure_ascii=False)
    proto.metadata_props.add(key=METADATA_KEY, value=text)
    if input == LOG_MEL:
        bank = build_mel_bank(config.front_end, config.front_end_args)
        proto.metadata_props.add(key=MEL_BANK_KEY, value=bank.to_json())


def _compacted(proto: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with large weights in 16 bits; a runtime converts them when it opens the file.

    Weights that float16 holds exactly, such as those of a checkpoint in half precision, become
    float16. Others become integers with a scale for each output channel, 30 times as exact.
    """
    from onnx import numpy_helper

    proto = copy.deepcopy(proto)
    graph = proto.graph
    for tensor in list(graph.initializer):
        weight = numpy_helper.to_array(tensor)
        exact = tensor.name.startswith(FRONT_END) or weight.size < COMPACT_SIZE
        if weight.dtype == np.float32 and not exact:
            arrays, nodes = _in_16_bits(tensor.name, weight)
            graph.initializer.remove(tensor)
            graph.initializer.extend(numpy_helper.from_array(x, n) for n, x in arrays.items())
            for node in reversed(nodes):
                graph.node.insert(0, node)
    return proto


def _in_16_bits(
    name: str, weight: np.ndarray
) -> tuple[dict[str, np.ndarray], list["onnx.NodeProto"]]:
    """Arrays to store, and the nodes that compute the weight `name` from them."""
    from onnx import TensorProto, helper

    stored, whole, scale = f"{name}.stored", f"{name}.whole", f"{name}.scale"
    half = weight.astype(np.float16)
    if (half == weight).all():
        cast_node = helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)
        return {stored: half}, [cast_node]
    axes = tuple(range(1, weight.ndim))
    step = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(INT16_MAX)
    step[step == 0] = 1
    nodes = [
        helper.make_node("Cast", [stored], [whole], to=TensorProto.FLOAT),
        helper.make_node("Mul", [whole, scale], [name]),
    ]
    return {stored: np.round(weight / step).astype(np.int16), scale: step}, nodes


def _check(model: Model, content: bytes, out: Path) -> float:
    """Largest difference of the file's scores from the model's, over `CHECKED` and `BATCHES`.

    Raises:
        ModelError: If a difference is above the tolerance; it names the length of the clips.
    """
    exported = OnnxModel.from_bytes(content, out.name)
    exported.config = replace(exported.config, calibration=None)
    largest = 0.0
    for seconds in _checked(model):
        for clips in BATCHES:
            heard = _noises(model, clips, seconds)
            scores = exported.score_windows(heard), model.score_windows(heard)
            difference = float(np.abs(np.subtract(*scores)).max())
            if not difference <= TOLERANCE:
                raise ModelError(
                    f"{out} is not written: at {seconds:g} s, {clips} at once, its scores differ "
                    f"from the model's by {difference:.2g}, more than {TOLERANCE:g}; "
                    f"{model.name} cannot be exported, use its folder"
                )
            largest = max(largest, difference)
    return largest


def _checked(model: Model) -> tuple[float, ...]:
    """Lengths in seconds of the clips that the file is checked with."""
    return (*CHECKED, model.min_duration) if model.window is None else (model.window,)


def _noises(model: Model, clips: int, seconds: float) -> np.ndarray:
    """Windows (clips, T) of noise that grows louder, as `audio.windows` cuts them; if the model
    takes windows of one length only, of that length."""
    rate, seconds = model.sample_rate, model.window or seconds
    count = round(seconds * rate)
    swell = np.sin(np.linspace(0, 3 * seconds, count)) * NOISE_LEVEL
    noises = np.random.default_rng(0).standard_normal((clips, count)) * swell
    return np.stack([_window(noise.astype(np.float32), model, seconds) for noise in noises])


def _window(samples: np.ndarray, model: Model, seconds: float) -> np.ndarray:
    (window,) = windows.windows([samples], model.sample_rate, seconds, None, model.min_duration)
    return window.samples


def _input_of(model: Model, waveform: bool, clips: int, seconds: float) -> Tensor:
    """An input of the graph made from noise: (clips, T) or (clips, 1, n_mels, frames)."""
    noise = torch.from_numpy(_noises(model, clips, seconds))
    with torch.no_grad():
        return noise if waveform else model.features(noise)


def _quantised(proto: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with int8 weights in its matrix products; the front end stays as it is.

    Convolutions stay too: with int8 weights they take onnxruntime 4 to 10 times as long. The
    weights are unsigned, so that CPUs that sum products of bytes in 16 bits do not overflow.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    front = [node.name for node in proto.graph.node if node.name.startswith(FRONT_END_NODES)]
    with tempfile.TemporaryDirectory() as folder, _silent_root_logger():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            proto,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
            nodes_to_exclude=front,
        )
        return onnx.load(path)


def _compare(before: bytes, after: bytes) -> Quantisation:
    """How the scores of the sample clips differ between the contents of two files."""
    scores = [_sample_scores(OnnxModel.from_bytes(x, "model")) for x in (before, after)]
    change = np.abs(scores[1] - scores[0])
    first = scores[0].argmax(axis=1) == scores[1].argmax(axis=1)
    return Quantisation(len(change), float(change.max()), float(change.mean()), int(first.sum()))


def _sample_scores(model: OnnxModel) -> np.ndarray:
    """Scores (clips, classes) of the first window of each sample clip."""
    folder = Path(str(files("audiotag") / "assets" / "samples"))
    scores = []
    for path in sorted(x for x in folder.iterdir() if x.suffix in extensions.AUDIO_EXTENSIONS):
        stream = streams.stream(path, model.sample_rate)
        length = model.window or WINDOW
        cut = windows.windows(stream, model.sample_rate, length, minimum=model.min_duration)
        window = next(iter(cut))
        scores.append(model.score_windows(window.samples[None])[0])
    return np.stack(scores)


@contextmanager
def _silent_root_logger() -> Iterator[None]:
    """Suppress onnxruntime's advice on how to prepare a model."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
