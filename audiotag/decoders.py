"""Decoding back ends: a file, or a file's bytes, to mono blocks at the recording's own rate.

libsndfile (soundfile) takes the plain formats, FFmpeg (PyAV) everything else, and miniaudio short
FLAC and MP3 files that say how long they are: in half of libsndfile's time, and, where several are
decoded at once, two thirds of FFmpeg's, whose packets each wait for Python's lock. FFmpeg also
carries on where libsndfile stops, because it skips damaged packets instead of giving up. libsndfile
isn't asked for MP3: its decoder writes warnings straight to the process's standard error for many
ordinary files. A block is a pair (sample rate in Hz, mono float32 samples of shape (T,)).
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import soundfile

from audiotag.announced import Announced, read_announced

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

BLOCK_VALUES = 2**20  # samples times channels held at once by a decoder
MIN_RATE, MAX_RATE = 100, 10_000_000  # Hz; beyond these a header is damaged, not unusual
NO_SAMPLES = "holds no audio samples"
EMPTY_FILE = "the file is empty"
SHORT_VALUES = 2**22  # samples times channels of a short file, 48 s of a CD's sound
SHORT_BYTES = 2**24  # of a short file, with pictures that it may hold
FLAC_MARK = b"fLaC"
MP3_MARKS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xe3")  # a tag, or a frame of layer 3
LAST_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # after an MP3 file's audio
PREROLL = 0.25  # s decoded and dropped before a seek target, to warm up lossy decoders

Source = Path | bytes
Block = tuple[int, np.ndarray]
Decoder = Callable[[Source, float, float], Iterator[Block]]


class Bytes(io.BytesIO):
    """A file in memory that stays put where a damaged header sends it before its beginning.

    soundfile calls `seek` from C, where an exception is printed instead of raised.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class DecodeError(Exception):
    """A decoder found nothing (more) to decode; the message is the reason, without the name."""


def decode(source: Source, start: float = 0.0, duration: float = np.inf) -> Iterator[Block]:
    """Decode with the first back end that can, and carry on with the next where one stops.

    Args:
        source: path of a file, or a file's bytes.
        start: time to start at, in seconds.
        duration: seconds to decode; a shorter recording ends earlier.

    Yields:
        Blocks of at most about `BLOCK_VALUES` samples, none of them empty.

    Raises:
        DecodeError: not one sample could be decoded.
        OSError: the file cannot be opened.
    """
    done, reason = 0.0, NO_SAMPLES
    for decoder in _decoders(_head(source)):
        try:
            for rate, mono in decoder(source, start + done, duration - done):
                done += len(mono) / rate
                yield rate, mono
            if done:  # a recorder that crashed leaves a header of no samples before good ones
                return
        except DecodeError as error:
            reason = str(error)
    if not done:
        raise DecodeError(reason)


def with_miniaudio(source: Source, start: float, duration: float) -> Iterator[Block]:
    """Decode a short FLAC or MP3 file whole, or nothing of it: frames that are damaged would leave
    no gap. Of MP3 files, samples are rounded to 16 bits.

    Raises:
        DecodeError: miniaudio is missing, or the file is long, doesn't say how long, or is shorter.
    """
    try:
        import miniaudio
    except ImportError as error:  # there is no wheel for Linux on ARM
        raise DecodeError("cannot be decoded (miniaudio is not installed)") from error
    form, data = _read_short(source)
    read = miniaudio.flac_read_f32 if data.startswith(FLAC_MARK) else miniaudio.mp3_read_f32
    try:
        whole = read(data)
    except miniaudio.DecodeError as error:
        raise DecodeError(f"cannot be decoded ({error})") from error
    samples = np.frombuffer(whole.samples, np.float32)
    if (whole.nchannels, len(samples)) != (form.channels, form.count * form.channels):
        raise DecodeError("cannot be decoded (it isn't as long as its header says)")
    channels = samples.reshape(-1, form.channels).T
    yield from _cut(iter([(form.rate, _scaled_mean(list(channels)))]), start, duration)


def _read_short(source: Source) -> tuple[Announced, bytes]:
    """What a file says of itself, and the bytes of its audio."""
    with _open(source) as file:
        form = read_announced(file)
        if form is None or form.count * form.channels > SHORT_VALUES:
            raise DecodeError("cannot be decoded (it is long, or does not say how long)")
        _checked(form.rate)
        file.seek(form.begin)
        data = file.read(SHORT_BYTES + 1)
    rest = b"" if form.size is None else data[form.size :]
    if len(data) > SHORT_BYTES or not (rest == b"" or rest.startswith(LAST_TAGS)):
        raise DecodeError("cannot be decoded (there is more in it than its header says)")
    return form, data[: form.size]


def with_soundfile(source: Source, start: float, duration: float) -> Iterator[Block]:
    """Decode with libsndfile.

    Raises:
        DecodeError: libsndfile cannot open or read on, or the file ends before its header says.
    """
    try:
        with _open(source) as raw, _sound_file(raw) as file:
            rate = _checked(file.samplerate)
            yield from _read(file, round(start * rate), round(min(duration * rate, file.frames)))
    except soundfile.LibsndfileError as error:
        raise DecodeError(f"cannot be decoded ({error.error_string.rstrip('.')})") from error


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
                yield from _cut(_blocks(chain([first], frames)), skip, duration)
    except av.FFmpegError as error:
        raise DecodeError(f"cannot be decoded ({error.strerror})") from error


def _head(source: Source) -> bytes:
    if isinstance(source, bytes):
        return source[:64]
    with source.open("rb") as file:
        return file.read(64)


def _decoders(head: bytes) -> tuple[Decoder, ...]:
    if not head:
        raise DecodeError(EMPTY_FILE)
    if head.startswith(FLAC_MARK):
        return with_miniaudio, with_soundfile, with_pyav
    if head.startswith(MP3_MARKS):
        return with_miniaudio, with_pyav
    return (with_soundfile, with_pyav) if _is_plain(head) else (with_pyav,)


def _is_plain(head: bytes) -> bool:
    """Whether the first bytes are those of a format libsndfile decodes well."""
    chunked = head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM")
    if chunked:
        return head[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    return head.startswith(b"OggS") and b"vorbis" in head


def _open(source: Source) -> IO[bytes]:
    return Bytes(source) if isinstance(source, bytes) else source.open("rb", buffering=0)


def _sound_file(raw: IO[bytes]) -> soundfile.SoundFile:
    # A real file goes by its descriptor: any name works, and reads need no Python callback.
    if isinstance(raw, Bytes):
        return soundfile.SoundFile(raw)
    return soundfile.SoundFile(raw.fileno(), closefd=False)


def _checked(rate: int) -> int:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise DecodeError(f"cannot be decoded (its header gives a sample rate of {rate} Hz)")
    return rate


def _read(file: soundfile.SoundFile, start: int, count: int) -> Iterator[Block]:
    """Read samples start to start + count in blocks, as far as the header says they go."""
    if start >= file.frames:
        return
    file.seek(start)
    left = min(count, file.frames - start)
    step = max(1, BLOCK_VALUES // file.channels)
    # To scale the values of a WAV file, libsndfile takes three times as long as NumPy.
    is_short = file.subtype == "PCM_16" and file.format != "FLAC"
    dtype = "int16" if is_short else "float32"
    while left:
        block = file.read(min(step, left), dtype=dtype, always_2d=True)
        if not len(block):
            raise DecodeError("cannot be decoded (it ends before its header says)")
        left -= len(block)
        yield file.samplerate, _scaled_mean(list(block.T))


def _container(source: Source) -> "InputContainer":
    """Open with FFmpeg, local files only: a playlist in disguise must not reach the network."""
    import av

    target: Any = Bytes(source) if isinstance(source, bytes) else f"file:{source}"
    options = {"protocol_whitelist": "file"}
    return av.open(target, options=options, metadata_errors="replace")


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
    """Frames of one form, added up over channels as they come: for those that are kept, FFmpeg
    would want new memory.

    Args:
        first: The first of them.
    """

    def __init__(self, first: "AudioFrame") -> None:
        self._form = _form(first)
        self._channels = first.layout.nb_channels
        readable = _readable(first)
        self._is_planar = readable.format.is_planar
        self._dtype = readable.to_ndarray().dtype
        length = max(BLOCK_VALUES // self._channels, first.samples)
        self._rate, self._total = _checked(first.sample_rate), np.empty(length, np.float32)
        self._count = 0
        self.add(first)

    def add(self, frame: "AudioFrame") -> bool:
        """Take a frame's values, if it is of the same form and there is room for them."""
        begin, end = self._count, self._count + frame.samples
        if end > len(self._total) or _form(frame) != self._form:
            return False
        in_plane = frame.samples if self._is_planar else frame.samples * self._channels
        planes: Any = _readable(frame).planes
        # What follows the values fills a plane's memory up.
        values = [np.frombuffer(plane, self._dtype, in_plane) for plane in planes]
        channels = values if self._is_planar else values[0].reshape(-1, self._channels).T
        _add_up(channels, self._total[begin:end])
        self._count = end
        return True

    def block(self) -> Block:
        """All of them, the mean of their channels."""
        return self._rate, _scaled(self._total[: self._count], self._dtype, self._channels)


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


def _scaled_mean(channels: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of channels (T,) as float32, integers scaled to [-1, 1)."""
    total = np.empty(len(channels[0]), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold any floats
        _add_up(channels, total)
    return _scaled(total, channels[0].dtype, len(channels))


def _add_up(channels: Iterable[np.ndarray], total: np.ndarray) -> None:
    """Put the sum of channels (T,) into (T,) float32."""
    # Channel by channel: for stereo 6 times as fast as einsum, 20 times as sum(axis=1).
    for i, channel in enumerate(channels):
        if i == 0:
            total[:] = channel
        else:
            total += channel


def _scaled(total: np.ndarray, dtype: np.dtype, channels: int) -> np.ndarray:
    """The mean, in place, where (T,) is the sum; that of integers scaled to [-1, 1)."""
    if dtype == np.uint8:
        total -= np.float32(128 * channels)
    divisor = channels if dtype.kind == "f" else channels * 2 ** (8 * dtype.itemsize - 1)
    if divisor > 1:
        total /= np.float32(divisor)
    return total


def _cut(blocks: Iterator[Block], skip: float, duration: float) -> Iterator[Block]:
    """Drop the first `skip` seconds, keep `duration` seconds."""
    for rate, mono in blocks:
        begin = max(0, min(len(mono), round(skip * rate)))
        end = begin + round(min(len(mono) - begin, duration * rate))
        skip -= begin / rate
        duration -= (end - begin) / rate
        if end > begin:
            yield rate, mono[begin:end]
        if duration * rate < 0.5:
            return
