"""Decoding by FFmpeg, through PyAV, in this process."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from audiotag.audio.ambisonics import ORDERS, is_spatial_mp4
from audiotag.audio.clock import TOLERANCE, Clock
from audiotag.audio.containers import ALLOWED
from audiotag.audio.helper_process import Warn
from audiotag.audio.levels import levelled
from audiotag.audio.mono import ALL, Hearing, Mixer, cut
from audiotag.audio.sources import (
    BLOCK_VALUES,
    Block,
    DecodeError,
    Readable,
    checked_rate,
    ignore,
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
WITHOUT_EDITS = OPTIONS | {"ignore_editlist": "1"}  # of MP4 files whose edits leave nothing
SEEKS, BYTES_OF_SEEK = 2**16, 2**10  # that a file may take, and one more for so many bytes
PREROLL = 0.25  # s decoded and dropped before a seek target, to warm up lossy decoders
STORED_FLOATS = ("pcm_f", "wavpack")  # codecs that keep samples as they were, beyond 1 too
NARROWED = {"s64": "s32", "s64p": "s32p"}  # formats that PyAV cannot give to NumPy
FEW_DAMAGED = 0.05  # of the packets
SILENT = 1e-3  # of full scale, -60 dB
MICROSECOND = 1e-6  # s, in which a container's times are given
TS_DISCONT = 0x200  # libavformat's flag of formats whose clock may jump
AVI = "avi"
MOV = "mov"  # the clock of MP4 and its relatives begins at 0, edit lists say
FRAGMENTED = (b"moof", b"mvex", b"styp")  # but not in a piece of a stream
HEAD = 2**16  # bytes that show whether it is one


def with_pyav(
    source: Readable, start: float, duration: float, hearing: Hearing = ALL
) -> Iterator[Block]:
    """Decode an audio stream with FFmpeg, skipping packets that are damaged.

    Times are those of the container's clock, as a player shows them: where the audio begins later
    than the picture, or packets are missing, there is silence.

    Raises:
        DecodeError: FFmpeg cannot open it, or it has no audio stream, no such track or channel, or
            no decoder for it.
    """
    import av

    is_empty = True
    try:
        with _container(source) as container:
            has_edits = MOV in container.format.name
            for block in _chosen(source, container, start, duration, hearing):
                is_empty = False
                yield block
        if is_empty and has_edits:
            with _container(source, WITHOUT_EDITS) as container:
                yield from _chosen(source, container, start, duration, hearing)
    except av.FFmpegError as error:
        raise DecodeError(f"cannot be decoded ({error.strerror})") from error


def _chosen(
    source: Readable,
    container: "InputContainer",
    start: float,
    duration: float,
    hearing: Hearing,
) -> Iterator[Block]:
    """Seconds start to start + duration of the stream that is to be heard, at its level."""
    stream = _audio_stream(container, hearing.listening.track)
    blocks = _part(source, container, stream, start, duration, hearing)
    if _is_float(stream):
        blocks = levelled(blocks, lambda: _whole(source, stream.index, hearing), hearing.warn)
    if hearing.listening.track is None and len(container.streams.audio) > 1:
        blocks = _with_a_look_at_others(blocks, source, stream.index, hearing)
    return blocks


@contextmanager
def _container(source: Readable, options: dict[str, str] = OPTIONS) -> Iterator["InputContainer"]:
    """Open with FFmpeg, which gets the file's bytes and can open nothing else.

    Raises:
        DecodeError: It is no recording.
        OSError: It cannot be opened.
    """
    import av

    with open_source(source) as file:
        try:
            container = av.open(_Input(file), "r", options=options, metadata_errors="replace")
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


def _whole(source: Readable, index: int, hearing: Hearing) -> Iterator[Block]:
    """All of a stream, as it is stored."""
    with _container(source) as container:
        stream: Any = container.streams[index]
        quiet = replace(hearing, warn=ignore)
        yield from _part(source, container, stream, 0.0, np.inf, quiet)


def _part(
    source: Readable,
    container: "InputContainer",
    stream: "AudioStream",
    start: float,
    duration: float,
    hearing: Hearing,
) -> Iterator[Block]:
    """Seconds start to start + duration of a stream."""
    times = _Times(source, container, stream)
    clock = Clock(times.end, bool(container.format.flags & TS_DISCONT), hearing.warn)
    frames = _frames_from(container, stream, start, times, hearing.warn)
    first = next(frames, None)
    if first is None:
        return
    began = clock.begin(times.of(first), start)
    is_ambisonic = hearing.is_ambisonic or _is_ambisonic(source, container, first)
    mixer = Mixer(replace(hearing, is_ambisonic=is_ambisonic))
    blocks = _blocks(_timed(chain([first], frames), times, clock), mixer)
    yield from cut(blocks, start - began if start else 0.0, duration)


def _is_ambisonic(source: Readable, container: "InputContainer", frame: "AudioFrame") -> bool:
    """Whether the first channel alone is to be heard; AAC's decoder forgets what MP4 says."""
    if frame.layout.name.startswith("ambisonic"):
        return True
    is_mp4 = MOV in container.format.name and frame.layout.nb_channels in ORDERS
    return is_mp4 and is_spatial_mp4(source)


def _is_float(stream: "AudioStream") -> bool:
    """Whether samples may go beyond 1 because they are stored as they are."""
    codec = stream.codec_context
    form = codec.format.name if codec and codec.format else ""
    return form.startswith(("flt", "dbl")) and codec.name.startswith(STORED_FLOATS)


def _with_a_look_at_others(
    blocks: Iterator[Block], source: Readable, index: int, hearing: Hearing
) -> Iterator[Block]:
    """The blocks of a stream; if it is silent and another track is not, a warning says so."""
    is_silent = True
    for rate, mono in blocks:
        is_silent = is_silent and not _is_heard(mono)
        yield rate, mono
    number = _heard_track(source, index, hearing) if is_silent else None
    if number is not None:
        hearing.warn(
            f"its usual audio track is silent, and track {number} is not: choose that with "
            f"--track {number}"
        )


def _is_heard(mono: np.ndarray) -> bool:
    return max(float(mono.max()), -float(mono.min())) > SILENT


def _heard_track(source: Readable, silent: int, hearing: Hearing) -> int | None:
    """Number of the first audio track that is heard, other than a stream."""
    import av

    with _container(source) as container:
        indices = [stream.index for stream in container.streams.audio]
    for number, index in enumerate(indices, 1):
        try:
            blocks = _whole(source, index, hearing) if index != silent else iter(())
            if any(_is_heard(mono) for _, mono in blocks):
                return number
        except (av.FFmpegError, DecodeError):
            continue  # no track to choose
    return None


def _audio_stream(container: "InputContainer", track: int | None) -> "AudioStream":
    """The audio track of a number, from 1 on, or the one that players take."""
    import av

    tracks = container.streams.audio
    if track is not None and tracks:
        if track > len(tracks):
            raise DecodeError(f"has no audio track {track}; the last is {len(tracks)}")
        return tracks[track - 1]
    stream = container.streams.best("audio")
    if isinstance(stream, av.AudioStream):
        return stream
    if tracks:
        raise DecodeError("cannot be decoded (FFmpeg has no decoder for its audio)")
    raise DecodeError("has no audio stream")


class _Times:
    """Times of a stream's frames on its container's clock.

    Attributes:
        end: Second at which the container ends; None where it does not say.
        are_counted: Whether they come from the bytes before them, since the format has none.
    """

    def __init__(
        self, source: Readable, container: "InputContainer", stream: "AudioStream"
    ) -> None:
        self._tick = stream.time_base or Fraction(1, stream.rate)
        first = (container.start_time or 0) * MICROSECOND
        self._origin = stream.start_time or 0  # in ticks
        zero = first
        if self._origin * self._tick > TOLERANCE and MOV in container.format.name:
            zero = first if _is_fragmented(source) else min(first, 0.0)
        if self._origin * self._tick - zero > TOLERANCE:
            self._origin = round(zero / self._tick)
        duration = container.duration
        self.end = None if not duration else first - zero + duration * MICROSECOND
        self.are_counted = container.format.name == AVI

    def of(self, frame: "AudioFrame") -> float | None:
        """Second of a frame."""
        return None if frame.pts is None else float((frame.pts - self._origin) * self._tick)

    def ticks(self, second: float) -> int:
        """What the stream calls a second."""
        return round(second / self._tick) + self._origin


def _is_fragmented(source: Readable) -> bool:
    """Whether an MP4 file may be a piece of a stream, whose clock began earlier."""
    with open_source(source) as file:
        head = file.read(HEAD)
    return any(mark in head for mark in FRAGMENTED)


def _frames_from(
    container: "InputContainer", stream: "AudioStream", start: float, times: _Times, warn: Warn
) -> Iterator["AudioFrame"]:
    """Frames from a little before `start` on, or from the beginning where seeking fails."""
    import av

    target = start - PREROLL
    if target > 0:
        try:
            container.seek(times.ticks(target), stream=stream)
        except av.FFmpegError:
            pass  # frames carry their times, so the part before `start` is cut either way
    return _frames(container, stream, warn)


def _frames(
    container: "InputContainer", stream: "AudioStream", warn: Warn
) -> Iterator["AudioFrame"]:
    """Frames of the packets that can be decoded; a warning says if many cannot."""
    import av

    count = damaged = 0
    for packet in _packets(container, stream):
        count += 1
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damaged += 1
    if damaged > max(1, FEW_DAMAGED * count):
        warn(f"{damaged} of its {count} packets cannot be decoded, and are not heard")


def _packets(container: "InputContainer", stream: "AudioStream") -> Iterator[Any]:
    import av

    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        return  # the container is broken from here on; what came before is good
    except IndexError:
        return  # at the end, PyAV may stumble over a stream that began in the middle


def _timed(
    frames: Iterator["AudioFrame"], times: _Times, clock: Clock
) -> Iterator[tuple[float, "AudioFrame"]]:
    """Frames that hold samples, each with the seconds of silence before it."""
    filled = (frame for frame in frames if frame.samples)
    frame, is_first = next(filled, None), True
    while frame is not None:
        is_timed = is_first or not times.are_counted
        following, silence, time = None, 0.0, times.of(frame) if is_timed else None
        if time is not None and clock.is_late(time):
            following = next(filled, None)
            silence = clock.silence(time, times.of(following) if following else None)
        clock.passes(frame.samples / checked_rate(frame.sample_rate))
        yield silence, frame
        frame, is_first = following or next(filled, None), False


def _blocks(timed: Iterator[tuple[float, "AudioFrame"]], mixer: Mixer) -> Iterator[Block]:
    """Collect frames, about 20 ms each, into blocks; silence or a change of form starts a new
    one."""
    silence, frame = next(timed, (0.0, None))
    while frame is not None:
        yield from _silent(silence, frame.sample_rate)
        held = _Held(frame)
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
    """

    def __init__(self, first: "AudioFrame") -> None:
        self._form, self._rate = _form(first), checked_rate(first.sample_rate)
        count = first.layout.nb_channels
        readable = _readable(first)
        self._is_planar = readable.format.is_planar
        length = max(samples_at_once(count), first.samples)
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
