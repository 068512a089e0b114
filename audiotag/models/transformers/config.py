"""From the JSON files of a classifier's folder to its network and its feature extractor.

Neither folder nor Hub is handed to transformers, which would look for more there: code, adapters,
quantised weights, compiled kernels. It gets values and tensors.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from safetensors.torch import load_file
from torch import nn
from transformers.utils import logging

from audiotag.errors import ModelError
from audiotag.models.build import UNFIT, reason_of
from audiotag.models.checks import check_number
from audiotag.models.folder import CONFIG_FILE, WEIGHTS_FILE, regular
from audiotag.models.size_limit import limited_to
from audiotag.models.transformers.folder import EXTRACTOR_FILE, KIND, read_values
from audiotag.models.weights_file import readable
from audiotag.runtime.json_text import shown

SHOWN = 3  # tensors named in a message
# Of a config: what would load code or other files, or decide how numbers are computed.
LEFT_OUT = ("auto_map", "_name_or_path", "dtype", "torch_dtype", "use_kernels", "kernel_config")
IMPLEMENTATION = "attn_implementation"  # may name code on the Hub; part of several keys
QUANTISATION = "quantization_config"
# Front ends by "feature_extractor_type", and that of kinds of models that do not say theirs.
EXTRACTORS = (
    *("ASTFeatureExtractor", "Wav2Vec2FeatureExtractor"),
    *("SeamlessM4TFeatureExtractor", "WhisperFeatureExtractor"),
)
USUAL, OF_KINDS = (
    "Wav2Vec2FeatureExtractor",
    {
        "audio-spectrogram-transformer": "ASTFeatureExtractor",
        "whisper": "WhisperFeatureExtractor",
    },
)
LIMITS: dict[str, tuple[type, float, float]] = {
    "sampling_rate": (int, 1_000, 768_000),  # Hz
    "feature_size": (int, 1, 1_024),
    "num_mel_bins": (int, 1, 1_024),
    "max_length": (int, 16, 65_536),  # frames
    "hop_length": (int, 16, 16_384),  # samples
    "n_fft": (int, 16, 16_384),
    "chunk_length": (int, 1, 60),  # s
    "stride": (int, 1, 64),  # frames
    "padding_value": (float, -1e6, 1e6),
    "mean": (float, -1e6, 1e6),
    "std": (float, 1e-6, 1e6),
    "dither": (float, 0.0, 0.0),  # noise, by which no two runs would give the same scores
}
AST_FRAME = 0.01  # s from one frame of AST's to the next


def build_network(folder: Path) -> nn.Module:
    """The network of a folder with its weights, in single precision, in evaluation mode.

    Raises:
        ModelError: If its files are missing, damaged or do not fit each other, or its weights are
            quantised.
    """
    values = read_values(folder / CONFIG_FILE)
    if QUANTISATION in values:
        raise ModelError(
            f"{folder}: its weights are quantised ({QUANTISATION}); take the model that it was "
            "made from"
        )
    kept = {k: v for k, v in values.items() if k not in LEFT_OUT and IMPLEMENTATION not in k}
    path = folder / WEIGHTS_FILE
    with readable(path):
        state = load_file(regular(path))
    try:
        with limited_to(state.values()), _quietly():
            config = transformers.CONFIG_MAPPING[values[KIND]].from_dict(kept)
            network: Any = transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
            built, loaded = network.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # which are looked at below
            )
    except UNFIT as error:
        raise ModelError(f"{folder}: {reason_of(error)}; check {CONFIG_FILE}") from error
    _check_loaded(folder, loaded)
    return built.eval()


def build_extractor(folder: Path) -> Any:
    """The feature extractor of a folder: arrays of samples -> inputs of its network.

    Raises:
        ModelError: If the file that describes it is missing, or has values out of range.
    """
    path = folder / EXTRACTOR_FILE
    values = read_values(path)
    usual = OF_KINDS.get(read_values(folder / CONFIG_FILE)[KIND], USUAL)
    name = values.get("feature_extractor_type") or usual
    if name not in EXTRACTORS:
        raise ModelError(
            f"{path}: its feature extractor is {shown(name)}, not one of {', '.join(EXTRACTORS)}"
        )
    kind = getattr(transformers, name)
    known = inspect.signature(kind).parameters.keys() - {"kwargs"}
    kept = {key: value for key, value in values.items() if key in known}
    for key, value in kept.items():
        if key in LIMITS:
            check_number(f"{path}: {key}", value, LIMITS[key])
        elif not isinstance(value, bool):
            raise ModelError(f"{path}: {key} is {shown(value)}, not true or false")
    try:
        return kind(**kept)
    except UNFIT as error:
        raise ModelError(f"{path}: {reason_of(error)}; check it") from error


def longest_heard(extractor: Any) -> float | None:
    """Seconds of sound beyond which a feature extractor cuts off; None if it cuts nothing."""
    match type(extractor).__name__:
        case "ASTFeatureExtractor":
            return extractor.max_length * AST_FRAME
        case "WhisperFeatureExtractor":
            return float(extractor.chunk_length)
    return None


def _check_loaded(folder: Path, loaded: Mapping[str, Any]) -> None:
    """Raise a ModelError if a weight of the network is not in the file: it would be random."""
    missing = sorted(loaded.get("missing_keys") or ())
    other = sorted(str(x[0] if isinstance(x, tuple) else x) for x in loaded["mismatched_keys"])
    if wrong := [f"{x} is missing" for x in missing] + [f"{x} has another shape" for x in other]:
        raise ModelError(
            f"{folder}: weights do not fit {CONFIG_FILE}: {'; '.join(wrong[:SHOWN])}; take a model "
            "that was trained as a classifier"
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """A context in which transformers shows no progress and says nothing: what is wrong with the
    weights is looked at."""
    level, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows:
            logging.enable_progress_bar()
