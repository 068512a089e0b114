"""FFmpeg's frames, about 20 ms each, collected into blocks."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from audiotag.audio.mono import Mixer
from audiotag.audio.sources import BLOCK_VALUES, Block, checked_rate, samples_at_once

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

NARROWED = {"s64": "s32", "s64p": "s32p"}  # formats that PyAV cannot give to NumPy


def collected(
    timed: Iterator[tuple[float, "AudioFrame"]], mixer: Mixer, seconds: float = math.inf
) -> Iterator[Block]:
    """Collect frames, about 20 ms each, into blocks; silence or a change of form starts a new
    one.

    Args:
        timed: Frames, each with the seconds of silence before it.
        mixer: Makes one channel of those of a frame.
        seconds: Of a block at most; a longer frame is a block of its own.
    """
    silence, frame = next(timed, (0.0, None))
    while frame is not None:
        yield from _silent(silence, frame.sample_rate)
        held = _Held(frame, seconds)
        silence, frame = next(
            ((silence, other) for silence, other in timed if silence or not held.add(other)),
            (0.0, None),
        )
        yield held.block(mixer)


def _silent(seconds: float, rate: int) -> Iterator[Block]:
    count = round(seconds * rate)
    for begin in range(0, count, BLOCK_VALUES):
        yield rate, np.zeros(min(BLOCK_VALUES, count - begin), np.float32)


class _Held:
    """Frames of one form, copied as they arrive: frames that were kept would make FFmpeg ask for
    new memory.

    Args:
        first: The first frame.
        seconds: As of `collected`.
    """

    def __init__(self, first: "AudioFrame", seconds: float) -> None:
        self._form, self._rate = _form(first), checked_rate(first.sample_rate)
        count = first.layout.nb_channels
        readable = _readable(first)
        self._is_planar = readable.format.is_planar
        length = max(int(min(samples_at_once(count), seconds * self._rate)), first.samples)
        self._channels = np.empty((count, length), readable.to_ndarray().dtype)
        self._count = 0
        self.add(first)

    def add(self, frame: "AudioFrame") -> bool:
        """Take a frame's values; False if it is of another form or there is no room for it."""
        count, length = self._channels.shape
        begin, end = self._count, self._count + frame.samples
        if end > length or _form(frame) != self._form:
            return False
        in_plane = frame.samples if self._is_planar else frame.samples * count
        planes: Any = _readable(frame).planes
        # A plane's memory may be longer than its values.
        values = [np.frombuffer(plane, self._channels.dtype, in_plane) for plane in planes]
        if self._is_planar:
            for channel, plane in zip(self._channels, values, strict=True):
                channel[begin:end] = plane
        else:
            self._channels[:, begin:end] = values[0].reshape(-1, count).T
        self._count = end
        return True

    def block(self, mixer: Mixer) -> Block:
        """The frames as one block of one channel."""
        return self._rate, mixer.mix(list(self._channels[:, : self._count]))


def _form(frame: "AudioFrame") -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _readable(frame: "AudioFrame") -> "AudioFrame":
    """The frame, interleaved where it has so many planes that PyAV loses count, and with values
    that NumPy knows.

    PyAV 18 looks for the end of the list of planes after the last, where from 8 channels on
    there is none, and reads foreign memory.
    """
    import av

    name = NARROWED.get(frame.format.name, frame.format.name)
    is_wide = frame.format.is_planar and frame.layout.nb_channels >= 8
    if not is_wide and name == frame.format.name:
        return frame
    form = av.AudioFormat(name)
    packer = av.AudioResampler(format=form.packed if is_wide else form, layout=frame.layout)
    frame.pts = None  # it wants gapless times, which damaged files do not have
    return packer.resample(frame)[0]
