"""Decoding by FFmpeg, through PyAV, in this process."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from audiotag.audio.ambisonics import ORDERS, is_spatial_mp4
from audiotag.audio.clock import Clock
from audiotag.audio.containers import ALLOWED
from audiotag.audio.frame_times import MOV, FrameTimes
from audiotag.audio.frames import collected
from audiotag.audio.helper_process import Warn
from audiotag.audio.levels import levelled
from audiotag.audio.mono import ALL, Hearing, Mixer, cut
from audiotag.audio.sources import Block, DecodeError, Readable, checked_rate, ignore, open_source

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

NO_RECORDING = (
    "cannot be decoded (it is damaged, or not a recording but a playlist, picture or text)"
)
# No protocol has this name, so FFmpeg can open nothing by itself.
OPTIONS = {"format_whitelist": ",".join(sorted(ALLOWED)), "protocol_whitelist": "none"}
WITHOUT_EDITS = OPTIONS | {"ignore_editlist": "1"}  # of MP4 files whose edits leave nothing
SEEKS, BYTES_OF_SEEK = 2**16, 2**10  # that a file may take, and one more for so many bytes
PREROLL = 0.25  # s decoded and dropped before a seek target, to warm up lossy decoders
STORED_FLOATS = ("pcm_f", "wavpack")  # codecs that keep samples as they were, beyond 1 too
FEW_DAMAGED = 0.05  # of the packets
SILENT = 1e-3  # of full scale, -60 dB
TS_DISCONT = 0x200  # libavformat's flag of formats whose clock may jump


def with_pyav(
    source: Readable, start: float, duration: float, hearing: Hearing = ALL
) -> Iterator[Block]:
    """Decode an audio stream with FFmpeg; damaged packets are skipped.

    Times are those of the container's clock, as a player shows them: if the audio begins later than
    the picture, or packets are missing, there is silence.

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
        DecodeError: It is not a recording.
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

    It ends where the file ended when it was opened, even if the file grows. It also ends after too
    many seeks: in a file of zeros, FFmpeg seeks through millions of empty pieces of headers. A seek
    to before the beginning, as in damaged headers, is ignored.

    Attributes:
        name: The file's name, if it has one; its suffix identifies formats without a header.
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
    """All of a stream, with its samples as they are stored."""
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
    times = FrameTimes(source, container, stream)
    clock = Clock(times.end, bool(container.format.flags & TS_DISCONT), hearing.warn)
    frames = _frames_from(container, stream, start, times, hearing.warn)
    first = next(frames, None)
    if first is None:
        return
    began = clock.begin(times.of(first), start)
    is_ambisonic = hearing.is_ambisonic or _is_ambisonic(source, container, first)
    mixer = Mixer(replace(hearing, is_ambisonic=is_ambisonic))
    blocks = collected(_timed(chain([first], frames), times, clock), mixer)
    yield from cut(blocks, start - began if start else 0.0, duration)


def _is_ambisonic(source: Readable, container: "InputContainer", frame: "AudioFrame") -> bool:
    """Whether the first channel alone is to be heard; AAC's decoder forgets what MP4 says."""
    if frame.layout.name.startswith("ambisonic"):
        return True
    is_mp4 = MOV in container.format.name and frame.layout.nb_channels in ORDERS
    return is_mp4 and is_spatial_mp4(source)


def _is_float(stream: "AudioStream") -> bool:
    """Whether samples are stored exactly as floats, and so may be above 1."""
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
    """Number of the first audio track that is not silent, except a stream."""
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
    """The audio track with a number, from 1, or the one that players play."""
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


def _frames_from(
    container: "InputContainer", stream: "AudioStream", start: float, times: FrameTimes, warn: Warn
) -> Iterator["AudioFrame"]:
    """Frames from a little before `start`, or from the beginning if seeking fails."""
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
    for packet in _packets(container, stream, warn):
        count += 1
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damaged += 1
    if damaged > max(1, FEW_DAMAGED * count):
        warn(f"{damaged} of its {count} packets cannot be decoded, and are not heard")


def _packets(container: "InputContainer", stream: "AudioStream", warn: Warn) -> Iterator[Any]:
    import av

    try:
        yield from container.demux(stream)
    except av.FFmpegError as error:  # what came before is good
        warn(f"is damaged, and cannot be read to its end ({error.strerror})")
    except IndexError:
        return  # at the end, PyAV may fail on a stream that began in the middle


def _timed(
    frames: Iterator["AudioFrame"], times: FrameTimes, clock: Clock
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
    if times.is_end_heard and times.end is not None:
        clock.ends(times.end)
