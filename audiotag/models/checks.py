"""Which values a model's config may hold.

A model may come from anybody, so that each value is checked before anything is built from it. The
limits lie far beyond what models of audio have; what is within them takes memory and time that a
laptop has. The names of a network's arguments are checked where it is built, `models.build`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from audiotag.errors import ModelError
from audiotag.runtime.json_text import shown

# Of timm's: what loads weights, places them, or wraps the network. No constructor of a network has
# the names; that no config does is said here, without torch.
LOADING = {
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_model_args"),
    *("pretrained_strict", "pretrained_filter_fn", "checkpoint_path", "cache_dir", "hf_hub_id"),
    *("scriptable", "exportable", "no_jit", "features_only", "feature_cfg", "feature_cls"),
    *("out_indices", "pruned", "model_cfg", "kwargs_filter", "device", "dtype"),
}
ARCHITECTURE = re.compile(r"[A-Za-z]\w{0,99}(\.\w{1,99})?")  # of timm's registry, with a tag
NAME = re.compile(r"[A-Za-z_]\w{0,63}")
WORD = re.compile(r"[A-Za-z0-9_-]{0,40}")  # neither a path nor an address
MAX_LABELS = 100_000
MIN_WINDOW, MAX_DURATION = 0.1, 60.0  # s
USUAL_DURATION = 10.0  # s of a window, unless a model says otherwise
MAX_SPECTROGRAM = 2**26  # values of that of a window: 256 MB
MAX_NUMBER = 65_536  # of an argument of a network
MAX_KERNEL = 127  # rows or columns
MAX_WINDOW = 32  # of attention, positions on a side
MAX_MAP = 2**22  # values of a map, mels x frames
MAX_ITEMS, MAX_DEPTH = 64, 3  # of a list of numbers
MIN_HOP, MAX_OVERLAP = 16, 64  # samples; frames that a sample is in
Limits = tuple[type, float, float]
FRONT_END: dict[str, Limits] = {
    "sample_rate": (int, 1_000, 768_000),  # Hz
    "n_fft": (int, MIN_HOP, 16_384),
    "win_length": (int, MIN_HOP, 16_384),
    "hop_length": (int, MIN_HOP, 16_384),
    "n_mels": (int, 1, 1_024),
    "f_min": (float, 0.0, 384_000.0),  # Hz
    "f_max": (float, 1.0, 384_000.0),
    "mean": (float, -1e6, 1e6),
    "std": (float, 1e-6, 1e6),
    "top_db": (float, 1.0, 1e6),
}
DCLS: dict[str, Limits] = {
    "match_kernel": (int, 1, MAX_KERNEL),
    "kernel_size": (int, 1, MAX_KERNEL),
    "kernel_count": (int, 1, 4_096),
}
DCLS_FLAGS, DCLS_WORDS = ("depthwise", "share"), ("version", "init")
OPTIONAL = ("match_kernel", "kernel_count", "norm")  # may be null


def check_architecture(name: Any) -> None:
    """Raise a ModelError if the name of an architecture is not one of timm's form."""
    if not isinstance(name, str) or not ARCHITECTURE.fullmatch(name):
        raise ModelError(f"architecture is {shown(name)}, not a name of letters and digits")


def check_count(labels: int) -> None:
    """Raise a ModelError if a model has no labels, or too many."""
    if not 1 <= labels <= MAX_LABELS:
        raise ModelError(f"there are {labels:,} labels, not 1 to {MAX_LABELS:,}")


def check_duration(where: str, seconds: Any, least: float = 1e-3) -> None:
    """Raise a ModelError if this is no length of a clip that a model hears."""
    check_number(where, seconds, (float, least, MAX_DURATION))


def check_flag(where: str, value: Any) -> None:
    """Raise a ModelError if this is neither true nor false."""
    if not isinstance(value, bool):
        raise ModelError(f"{where} is {shown(value)}, not true or false")


def check_calibration(slope: Any, biases: Any) -> None:
    """Raise a ModelError if this is no straight line of logits for each class."""
    check_number("calibration.slope", slope, (float, 1e-3, 1e3))
    if not isinstance(biases, list):
        raise ModelError(f"calibration.biases are {shown(biases)}, not a list of numbers")
    for bias in biases:
        check_number("a bias of the calibration", bias, (float, -1e3, 1e3))


def check_thresholds(values: Any, labels: int) -> None:
    """Raise a ModelError unless there is a threshold between 0 and 1 for each label."""
    if not isinstance(values, list | tuple):
        raise ModelError(f"thresholds are {shown(values)}, not a list of numbers")
    if len(values) != labels:
        raise ModelError(f"there are {len(values)} thresholds for {labels} labels")
    for value in values:
        check_number("a threshold", value, (float, 0.0, 1.0))


def check_front_end(name: Any, arguments: Any) -> None:
    """Raise a ModelError if a front end's name or arguments are of a wrong type or out of range.

    Which names there are is said where it is built.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ModelError(f"the front end's name is {shown(name)}, not a word")
    for key, value in _table("front_end", arguments).items():
        if key in FRONT_END:
            check_number(f"front_end.{key}", value, FRONT_END[key])
        elif not (value is None and key in OPTIONAL):
            _check_word(f"front_end.{key}", value)
    _check_frames(arguments)


def _check_frames(arguments: Mapping[str, Any]) -> None:
    n_fft, hop = arguments.get("n_fft", 0), arguments.get("hop_length")
    if hop is not None and n_fft > hop * MAX_OVERLAP:
        raise ModelError(
            f"front_end.hop_length is {hop}, less than 1/{MAX_OVERLAP} of n_fft ({n_fft})"
        )
    low, high = arguments.get("f_min", 0.0), arguments.get("f_max", math.inf)
    if low >= high:
        raise ModelError(f"front_end.f_min ({low}) is not below f_max ({high})")


def check_biases(biases: int, labels: int) -> None:
    """Raise a ModelError unless a calibration has a bias for each label."""
    if biases != labels:
        raise ModelError(f"there are {biases} biases of a calibration for {labels} labels")


def check_spectrogram(arguments: Mapping[str, Any], seconds: float) -> None:
    """Raise a ModelError if that of a clip of so many seconds is larger than any model's.

    Args:
        arguments: Of a front end, checked; of what they leave out, none is far from `log_mel`'s.
        seconds: Of the longest clip that the model is given at once.
    """
    frames = seconds * arguments.get("sample_rate", 32_000) / arguments.get("hop_length", 320)
    rows = max(arguments.get("n_mels", 128), arguments.get("n_fft", 1_024) / 2 + 1)
    if frames * rows > MAX_SPECTROGRAM:
        raise ModelError(
            f"front_end makes a spectrogram of {frames * rows:,.0f} values of {seconds:g} s, more "
            f"than {MAX_SPECTROGRAM:,}"
        )


def check_dcls(where: str, arguments: Any) -> None:
    """Raise a ModelError if arguments of DCLS convolutions are unknown, of a wrong type, or out of
    range."""
    for key, value in _table(where, arguments).items():
        if not _is_dcls(key):
            known = ", ".join((*DCLS, *DCLS_FLAGS, *DCLS_WORDS))
            raise ModelError(f"{where} has no {shown(key)}; it has {known}")
        _check_dcls_value(f"{where}.{key}", key, value)


def _is_dcls(key: str) -> bool:
    return key in DCLS or key in DCLS_FLAGS or key in DCLS_WORDS


def _check_dcls_value(where: str, key: str, value: Any) -> None:
    if value is None and key in OPTIONAL:
        return
    if key in DCLS:
        check_number(where, value, DCLS[key])
    elif key in DCLS_WORDS:
        _check_word(where, value)
    else:
        check_flag(where, value)


def check_network(arguments: Any) -> None:
    """Raise a ModelError if an argument of a network is not plain, or out of range.

    Plain are numbers, true and false, words, null, and short lists of these; of DCLS convolutions
    a table.
    """
    for key, value in _table("model_args", arguments).items():
        where = f"model_args.{key}"
        if key in LOADING:
            raise ModelError(f"{where} loads, places or wraps a network; leave it out")
        if key == "dcls":
            check_dcls(where, {} if value is None else value)
        elif _is_dcls(key):
            _check_dcls_value(where, key, value)
        else:
            _check_plain(where, key, value, MAX_DEPTH)
    _check_map(arguments.get("img_size"))


def _check_map(size: Any) -> None:
    sides = size if isinstance(size, list | tuple) else [size, size]
    if math.prod(side for side in sides if isinstance(side, int)) > MAX_MAP:
        raise ModelError(f"model_args.img_size is {shown(size)}, a map of more than {MAX_MAP:,}")


def _check_plain(where: str, key: str, value: Any, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_word(where, value)
    elif isinstance(value, list | tuple) and len(value) <= MAX_ITEMS and depth:
        for item in value:
            _check_plain(where, key, item, depth - 1)
    elif isinstance(value, int | float):
        check_number(where, value, (float, 0, _largest(key)))
    else:
        raise ModelError(
            f"{where} is {shown(value)}; a model may have numbers, words, true and false there, "
            f"and lists of up to {MAX_ITEMS}"
        )


def _largest(key: str) -> float:
    """The largest number that an argument of a network may have."""
    if "drop" in key and key.endswith("rate"):
        return 1.0
    if "window" in key:
        return MAX_WINDOW
    return MAX_KERNEL if "kernel" in key else MAX_NUMBER


def check_number(where: str, value: Any, limits: Limits) -> None:
    """Raise a ModelError if a value is not a number of a kind (int, or float for any number), or
    outside its limits."""
    kind, low, high = limits
    kinds = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise ModelError(f"{where} is {shown(value)}, not {what} from {low:,g} to {high:,g}")


def _check_word(where: str, value: Any) -> None:
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise ModelError(f"{where} is {shown(value)}, not a word of letters and digits")


def _table(where: str, arguments: Any) -> Mapping[str, Any]:
    if not isinstance(arguments, Mapping):
        raise ModelError(f"{where} is {shown(arguments)}, not a table of names and values")
    _check_names(where, arguments)
    return arguments


def _check_names(where: str, names: Iterable[Any]) -> None:
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ModelError(f"{where} has an argument {shown(name)}, which is not a name")
