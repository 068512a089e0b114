"""Front ends by name; each turns waveforms into the maps that a backbone takes."""

import inspect
from typing import Any, cast

from torch import nn

from audiotag.errors import ModelError
from audiotag.features.ced import CedMel
from audiotag.features.efficientat import EfficientATMel
from audiotag.features.log_mel import LogMel
from audiotag.features.mel_bank import MelBank
from audiotag.features.numpy_front_ends import check_numpy_front_end
from audiotag.features.yamnet import YamnetMel

FRONT_ENDS: dict[str, type[nn.Module]] = {
    "log_mel": LogMel,
    "efficientat_mel": EfficientATMel,
    "ced_mel": CedMel,
    "yamnet_mel": YamnetMel,
}


def build_features(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The front end with this name.

    Raises:
        ModelError: If the name or an argument is unknown.
    """
    if name not in FRONT_ENDS:
        raise ModelError(f"unknown front end {name!r}; choose one of {', '.join(FRONT_ENDS)}")
    try:
        return FRONT_ENDS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}: {error}; check the arguments") from error


def resolve_arguments(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a front end with its defaults spelled out."""
    parameters = inspect.signature(FRONT_ENDS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | arguments


def build_mel_bank(name: str, arguments: dict[str, Any]) -> MelBank:
    """Window and mel bands of a front end that exists in NumPy too.

    Raises:
        ModelError: As `build_features`, or if the front end does not exist in NumPy.
    """
    check_numpy_front_end(name)
    return cast(Any, build_features(name, arguments)).mel.bank
