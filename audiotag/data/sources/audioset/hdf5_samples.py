"""Waveforms in HDF5 files: their sample rate, and samples of any type as float32 in [-1, 1]."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# What people call the rate, in lower case and without other characters than letters.
RATE_NAMES = {
    *("sr", "fs", "rate", "samplerate", "samplingrate", "audiosamplerate", "sampleratehz"),
    *("samplingfrequency", "samplefrequency", "srate", "framerate"),
}
PANNS_RATE = 32_000  # Hz, of files that do not say it
CLIP_SECONDS = 10  # of AudioSet, which tell the rate where nothing else does
USUAL_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz
LEAST_RATE, MOST_RATE = 1_000, 384_000  # Hz
LOOKED_AT = 16  # rows that tell what full scale is
LOUD = 8.0  # a peak of floats in [-1, 1] that nobody reaches, and of whole numbers in silence only
FULL_SCALES = (2.0**15, 2.0**23, 2.0**31)  # of whole numbers in a wider type
NARROW = 16  # bits of the widest whole numbers whose type says their full scale


@dataclass(frozen=True)
class Waveforms:
    """What the rows of a data set of waveforms are.

    Attributes:
        rate: Hz.
        scale: The number that stands for 1.
        offset: The number that stands for 0.
        note: What was assumed, as a sentence without the file's name; "" if nothing.
    """

    rate: int
    scale: float
    offset: float = 0.0
    note: str = ""

    def samples(self, row: np.ndarray) -> np.ndarray:
        """A row as mono samples (T,), float32; channels, if there are any, become their mean."""
        values = np.squeeze((row.astype(np.float64) - self.offset) / self.scale)
        if values.ndim == 2:
            values = values.mean(int(np.argmin(values.shape)))
        if values.ndim > 2:
            raise ValueError(f"its waveform has the shape {row.shape}")
        return np.atleast_1d(values).astype(np.float32)


def examine(waveform: Any, holders: list[Any], said: int | None) -> Waveforms:
    """What the rows of a data set are.

    Args:
        waveform: The data set (N, T).
        holders: What it lies in, whose attributes may say the rate, the nearest first.
        said: Rate that the user says, in Hz, for a file that does not.

    Raises:
        ValueError: If it holds something else, or says a rate that is none.
    """
    rate, rate_note = _rate(waveform, holders, said)
    scale, offset, scale_note = _full_scale(waveform)
    return Waveforms(rate, scale, offset, "; ".join(filter(None, (rate_note, scale_note))))


def _rate(waveform: Any, holders: list[Any], said: int | None) -> tuple[int, str]:
    stated = _stated_rate([dict(one.attrs) for one in (waveform, *holders)])
    if stated is not None:
        differs = said is not None and said != stated
        return stated, f"says {stated:,} Hz itself, so that --source-rate is not used" * differs
    if said is not None:
        return said, ""
    length = waveform.shape[1] if len(waveform.shape) == 2 else 0
    guess = length // CLIP_SECONDS
    if guess in USUAL_RATES and length % CLIP_SECONDS == 0:
        reason = f"its clips have {length:,} samples, {CLIP_SECONDS} s at this rate"
    else:
        guess, reason = PANNS_RATE, "as PANNs' files have"
    return guess, (
        f"does not say its sample rate: taken for {guess:,} Hz ({reason}); if it is another, say "
        "it with --source-rate"
    )


def _stated_rate(holders: list[Mapping[str, Any]]) -> int | None:
    """The rate in Hz that an attribute says, the first one that there is."""
    for attributes in holders:
        for name, value in attributes.items():
            if re.sub("[^a-z]", "", name.lower()) in RATE_NAMES:
                return _checked_rate(name, np.ravel(value))
    return None


def _checked_rate(name: str, values: np.ndarray) -> int:
    text = values[0].decode() if len(values) and isinstance(values[0], bytes) else values[:1]
    try:
        rate = float(np.ravel(text)[0])
    except (ValueError, TypeError, IndexError):
        rate = 0.0
    if LEAST_RATE / 1000 < rate < LEAST_RATE and round(rate * 1000) in USUAL_RATES:
        rate *= 1000  # kHz
    if len(set(values.tolist())) != 1 or not LEAST_RATE <= rate <= MOST_RATE:
        raise ValueError(f"its {name} is {values.tolist()!r:.40}, which is no sample rate in Hz")
    return round(rate)


def _full_scale(waveform: Any) -> tuple[float, float, str]:
    """The numbers that stand for 1 and for 0, and what was assumed."""
    type_ = _element(waveform)
    bits = 8 * type_.itemsize
    if type_.kind not in "iuf":
        raise ValueError(f"its samples are of type {type_}")
    offset = 2.0 ** (bits - 1) if type_.kind == "u" else 0.0
    if type_.kind != "f" and bits <= NARROW:
        return 2.0 ** (bits - 1), offset, ""
    peak = _peak(waveform)
    if type_.kind == "f" and peak <= LOUD:
        return 1.0, 0.0, ""
    if type_.kind == "u":
        return 2.0 ** (bits - 1), offset, ""
    scale = next((x for x in FULL_SCALES if peak <= x), 2.0 ** (bits - 1))
    return scale, 0.0, f"its samples of type {type_} are taken for {1 + round(np.log2(scale))} bits"


def _element(waveform: Any) -> np.dtype:
    """The type of a sample, also where rows have lengths of their own."""
    varying = (waveform.dtype.metadata or {}).get("vlen")
    return np.dtype(waveform.dtype if varying is None else varying)


def _peak(waveform: Any) -> float:
    """The greatest finite amount in some rows from all parts of the data set."""
    peaks = [0.0]
    for row in range(0, len(waveform), max(1, len(waveform) // LOOKED_AT)):
        try:
            values = np.abs(np.asarray(waveform[row], np.float64))
        except (OSError, RuntimeError):  # damaged here
            continue
        peaks.append(float(values[np.isfinite(values)].max(initial=0.0)))
    return max(peaks)
