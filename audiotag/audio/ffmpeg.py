"""Decoding by FFmpeg, through PyAV, in this process."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from audiotag.audio.containers import ALLOWED
from audiotag.audio.mono import add_up, cut, scaled
from audiotag.audio.sources import (
    Block,
    DecodeError,
    Source,
    checked_rate,
    open_source,
    samples_at_once,
)

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

NO_RECORDING = "cannot be decoded (it is damaged, or no recording: a playlist, picture or text)"
# No protocol has this name, so that nothing is opened but what is given.
OPTIONS = {"format_whitelist": ",".join(sorted(ALLOWED)), "protocol_whitelist": "none"}
SEEKS, BYTES_OF_SEEK = 2**16, 2**10  # that a file may take, and one more for so many bytes
PREROLL = 0.25  # s decoded and dropped before a seek target, to warm up lossy decoders


def with_pyav(source: Source, start: float, duration: float) -> Iterator[Block]:
    """Decode the main audio stream with FFmpeg, skipping packets that are damaged.

    Raises:
        DecodeError: FFmpeg cannot open it, or it has no audio stream or no decoder for it.
    """
    import av

    try:
        with _container(source) as container:
            stream = _audio_stream(container)
            frames = _frames_from(container, stream, start)
            first = next(frames, None)
            if first is not None:
                skip = start - _time(first, stream) if start else 0.0
                yield from cut(_blocks(chain([first], frames)), skip, duration)
    except av.FFmpegError as error:
        raise DecodeError(f"cannot be decoded ({error.strerror})") from error


@contextmanager
def _container(source: Source) -> Iterator["InputContainer"]:
    """Open with FFmpeg, which gets the file's bytes and can open nothing else.

    Raises:
        DecodeError: It is no recording.
        OSError: It cannot be opened.
    """
    import av

    with open_source(source) as file:
        try:
            container = av.open(_Input(file), "r", options=OPTIONS, metadata_errors="replace")
        except av.ArgumentError as error:  # the format is not allowed
            raise DecodeError(NO_RECORDING) from error
        with container:
            yield container


class _Input:
    """A file as FFmpeg reads it.

    It ends where it ended when it was opened, though it may grow; or where FFmpeg has sought too
    often: from one empty piece of a header to the next, of which a file of zeros has millions.
    Seeking to before the beginning, as damaged headers ask for, is ignored.

    Attributes:
        name: The file's, if it has one; its suffix tells formats without a header.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.name = str(getattr(file, "name", "<none>"))
        self.tell = file.tell
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._seeks = SEEKS + self._size // BYTES_OF_SEEK  # that are left
        file.seek(0)

    def read(self, size: int) -> bytes:
        """The next bytes."""
        left = self._size - self._file.tell() if self._seeks > 0 else 0
        return self._file.read(max(0, min(size, left)))

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place in the file."""
        self._seeks -= 1
        with suppress(OSError, ValueError):
            self._file.seek(offset, whence)
        return self._file.tell()


def _audio_stream(container: "InputContainer") -> "AudioStream":
    import av

    stream = container.streams.best("audio")
    if isinstance(stream, av.AudioStream):
        return stream
    if container.streams.audio:
        raise DecodeError("cannot be decoded (FFmpeg has no decoder for its audio)")
    raise DecodeError("has no audio stream")


def _frames_from(
    container: "InputContainer", stream: "AudioStream", start: float
) -> Iterator["AudioFrame"]:
    """Frames from a little before `start` on, or from the beginning where seeking fails."""
    import av

    target = start - PREROLL
    if target > 0:
        try:
            ticks = round(target / _tick(stream)) + (stream.start_time or 0)
            container.seek(ticks, stream=stream)
        except av.FFmpegError:
            pass  # frames carry their times, so the part before `start` is cut either way
    return _frames(container, stream)


def _frames(container: "InputContainer", stream: "AudioStream") -> Iterator["AudioFrame"]:
    import av

    try:
        for packet in container.demux(stream):
            yield from _decoded(packet)
    except av.FFmpegError:
        return  # the container is broken from here on; what came before is good
    except IndexError:
        return  # at the end, PyAV may stumble over a stream that began in the middle


def _decoded(packet: Any) -> list["AudioFrame"]:
    import av

    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def _time(frame: "AudioFrame", stream: "AudioStream") -> float:
    """Time of a frame, in seconds from the beginning of its stream."""
    if frame.pts is None:
        return 0.0
    return float((frame.pts - (stream.start_time or 0)) * _tick(stream))


def _tick(stream: "AudioStream") -> Fraction:
    return stream.time_base or Fraction(1, stream.rate)


def _blocks(frames: Iterator["AudioFrame"]) -> Iterator[Block]:
    """Collect frames, about 20 ms each, into blocks; a change of form starts a new block."""
    filled = (frame for frame in frames if frame.samples)
    frame = next(filled, None)
    while frame is not None:
        held = _Held(frame)
        with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold any floats
            frame = next((other for other in filled if not held.add(other)), None)
        yield held.block()


class _Held:
    """Frames of one form, their channels added up as they arrive: frames that were kept would make
    FFmpeg ask for new memory.

    Args:
        first: The first frame.
    """

    def __init__(self, first: "AudioFrame") -> None:
        self._form = _form(first)
        self._channels = first.layout.nb_channels
        readable = _readable(first)
        self._is_planar = readable.format.is_planar
        self._dtype = readable.to_ndarray().dtype
        length = max(samples_at_once(self._channels), first.samples)
        self._rate, self._total = checked_rate(first.sample_rate), np.empty(length, np.float32)
        self._count = 0
        self.add(first)

    def add(self, frame: "AudioFrame") -> bool:
        """Take a frame's values; False if it is of another form or there is no room for it."""
        begin, end = self._count, self._count + frame.samples
        if end > len(self._total) or _form(frame) != self._form:
            return False
        in_plane = frame.samples if self._is_planar else frame.samples * self._channels
        planes: Any = _readable(frame).planes
        # A plane's memory may be longer than its values.
        values = [np.frombuffer(plane, self._dtype, in_plane) for plane in planes]
        channels = values if self._is_planar else values[0].reshape(-1, self._channels).T
        add_up(channels, self._total[begin:end])
        self._count = end
        return True

    def block(self) -> Block:
        """The frames as one block, the mean of their channels."""
        return self._rate, scaled(self._total[: self._count], self._dtype, self._channels)


def _form(frame: "AudioFrame") -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _readable(frame: "AudioFrame") -> "AudioFrame":
    """The frame, interleaved where it has so many planes that PyAV loses count.

    PyAV 18 looks for the end of the list of planes after the last, where from 8 channels on
    there is none, and reads foreign memory.
    """
    import av

    if not frame.format.is_planar or frame.layout.nb_channels < 8:
        return frame
    packer = av.AudioResampler(format=frame.format.packed, layout=frame.layout)
    frame.pts = None  # it wants gapless times, which damaged files do not have
    return packer.resample(frame)[0]
