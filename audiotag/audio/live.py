"""Live sound by FFmpeg: a camera, a radio, a pipe. It is decoded as it comes, and has no end.

Unlike a file, an address makes FFmpeg open connections. It may use protocols of the network alone,
so that no playlist makes it read a file.
"""

import errno
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from audiotag.audio.containers import ALLOWED
from audiotag.audio.frames import collected
from audiotag.audio.helper_process import Blocks, Warn
from audiotag.audio.mono import Hearing, Mixer
from audiotag.audio.sources import Block, DecodeError, Listening, checked_rate
from audiotag.audio.streams import resampled
from audiotag.errors import AudioError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
LIVE_FORMATS = frozenset("hls rtsp rtp sdp".split())
PROTOCOLS = "crypto,http,httpproxy,https,rtmp,rtmps,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
OPTIONS = {
    "format_whitelist": ",".join(sorted(ALLOWED | LIVE_FORMATS)),
    "protocol_whitelist": PROTOCOLS,
    "rtsp_transport": "tcp",  # what UDP loses is heard as gaps
    "allowed_media_types": "audio",  # of a camera: no pictures
    "analyzeduration": "2000000",  # µs of sound that are read before the first is given
}
PIPE_OPTIONS = OPTIONS | {"protocol_whitelist": "none"}
TIMEOUT = 15.0  # s without a byte
PIECE = 0.1  # s of sound given at once
TOLERANCE = 0.1  # s that a time may be off
LONGEST = 10.0  # s of lost sound that are heard as silence; more is a new beginning of the clock
ABSORBED = 0.01  # part of a deviation by which a drifting clock is followed, frame by frame
DAMAGED = 100  # packets in a row that cannot be decoded: the rest cannot either


def received(address: str, name: str, sample_rate: int, listening: Listening, warn: Warn) -> Blocks:
    """Sound as it comes.

    Args:
        address: A URL, or the path of a pipe.
        name: What messages call it.
        sample_rate: Rate of the result, in Hz.
        listening: The track and channel to hear.
        warn: Called with what is lost.

    Yields:
        Mono float32 blocks in [-1, 1], of shape (T,), about `PIECE` seconds each.

    Raises:
        AudioError: It cannot be opened or decoded, or breaks off.
    """
    import av

    try:
        if ADDRESS.match(address):
            with av.open(address, "r", options=OPTIONS, timeout=TIMEOUT) as container:
                yield from resampled(_blocks(container, listening, warn), sample_rate)
        else:
            with (
                open(address, "rb", buffering=0) as pipe,
                av.open(pipe, "r", options=PIPE_OPTIONS) as container,
            ):
                yield from resampled(_blocks(container, listening, warn), sample_rate)
    except av.FFmpegError as error:
        raise AudioError(f"{name}: {_reason(error)}") from error
    except OSError as error:
        raise AudioError(f"{name}: cannot be opened ({error.strerror})") from error
    except DecodeError as error:
        raise AudioError(f"{name}: {error}") from error
    return None


def _reason(error: Any) -> str:
    """FFmpeg's reason alone: its message has the address, which may hold a password."""
    reasons = {
        "ExitError": f"no answer for {TIMEOUT:.0f} s",
        "InvalidDataError": "holds no sound that can be decoded",
        "ArgumentError": "is in a format that is not allowed",
    }
    if error.errno == errno.EIO:
        return "it broke off"
    return reasons.get(type(error).__name__, error.strerror or type(error).__name__)


def _blocks(container: "InputContainer", listening: Listening, warn: Warn) -> Iterator[Block]:
    tracks = container.streams.audio
    number = 1 if listening.track is None else listening.track
    if not tracks:
        raise DecodeError("has no audio")
    if number > len(tracks):
        raise DecodeError(f"has no audio track {number}; the last is {len(tracks)}")
    frames = _frames(container, tracks[number - 1])
    return collected(_timed(frames, warn), Mixer(Hearing(listening, warn=warn)), PIECE)


def _frames(container: "InputContainer", stream: Any) -> Iterator["AudioFrame"]:
    import av

    damaged = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
            damaged = 0
        except av.FFmpegError as error:
            damaged += 1
            if damaged >= DAMAGED:
                raise DecodeError("cannot be decoded (it is damaged)") from error


def _timed(frames: Iterator["AudioFrame"], warn: Warn) -> Iterator[tuple[float, "AudioFrame"]]:
    """Frames, each with the seconds of silence before it, where sound was lost."""
    due: float | None = None
    for frame in frames:
        if not frame.samples:
            continue
        silence = 0.0
        if frame.time is not None:
            late = 0.0 if due is None else frame.time - due
            if TOLERANCE < late <= LONGEST:
                warn(f"{late:.1f} s of sound were lost")
                silence = late
            elif late > LONGEST:
                warn(f"its clock jumps by {late:.0f} s")
            due = (
                due + ABSORBED * late if due is not None and abs(late) <= TOLERANCE else frame.time
            )
        if due is not None:
            due += frame.samples / checked_rate(frame.sample_rate)
        yield silence, frame


def from_pcm(data: bytes, kind: str, channels: int) -> list[np.ndarray]:
    """The channels, each (T,), of interleaved samples."""
    values = np.frombuffer(data, kind)
    return list(values.reshape(-1, channels).T)
