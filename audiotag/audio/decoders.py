"""Decoders: a file, or a file's bytes, to mono blocks at the recording's own rate.

libsndfile (soundfile) takes the plain formats and FFmpeg (PyAV) everything else. miniaudio takes
short FLAC and MP3 files that say how long they are: in half of libsndfile's time and, where several
are decoded at once, in two thirds of FFmpeg's, whose packets each wait for Python's lock. FFmpeg
also takes over where libsndfile stops: it skips damaged packets instead of giving up. libsndfile
does not get MP3: its decoder writes warnings straight to standard error for many ordinary files. A
block is a pair (sample rate in Hz, mono float32 samples of shape (T,)).
"""

from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
import soundfile

from audiotag.audio.ffmpeg import with_pyav
from audiotag.audio.headers import FLAC_MARK, Announced, read_announced
from audiotag.audio.mono import cut, scaled_mean
from audiotag.audio.sources import (
    Block,
    Bytes,
    DecodeError,
    Source,
    checked_rate,
    open_source,
    samples_at_once,
)

NO_SAMPLES = "holds no audio samples"
EMPTY_FILE = "the file is empty"
SHORT_VALUES = 2**22  # samples times channels of a short file, 48 s of a CD's sound
SHORT_BYTES = 2**24  # of a short file, with the pictures that it may hold
MP3_MARKS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xe3")  # a tag, or a frame of layer 3
LAST_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # after an MP3 file's audio
Decoder = Callable[[Source, float, float], Iterator[Block]]


def decode(source: Source, start: float = 0.0, duration: float = np.inf) -> Iterator[Block]:
    """Decode with the first decoder that can, and continue with the next where one stops.

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
    """Decode a short FLAC or MP3 file whole, or nothing of it: miniaudio would leave damaged frames
    out without a gap. Samples of MP3 files are rounded to 16 bits.

    Raises:
        DecodeError: miniaudio is missing, or the file is long, does not say how long it is, or is
            not as long as it says.
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
        raise DecodeError("cannot be decoded (it is not as long as its header says)")
    channels = samples.reshape(-1, form.channels).T
    yield from cut(iter([(form.rate, scaled_mean(list(channels)))]), start, duration)


def _read_short(source: Source) -> tuple[Announced, bytes]:
    """What a short file's header says, and the bytes of its audio."""
    with open_source(source) as file:
        form = read_announced(file)
        if form is None or form.count * form.channels > SHORT_VALUES:
            raise DecodeError("cannot be decoded (it is long, or does not say how long)")
        checked_rate(form.rate)
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
        with open_source(source) as raw, _sound_file(raw) as file:
            rate = checked_rate(file.samplerate)
            yield from _read(file, round(start * rate), round(min(duration * rate, file.frames)))
    except soundfile.LibsndfileError as error:
        raise DecodeError(f"cannot be decoded ({error.error_string.rstrip('.')})") from error


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


def _sound_file(raw: IO[bytes]) -> soundfile.SoundFile:
    # A real file goes by its descriptor: any name works, and reads need no Python callback.
    if isinstance(raw, Bytes):
        return soundfile.SoundFile(raw)
    return soundfile.SoundFile(raw.fileno(), closefd=False)


def _read(file: soundfile.SoundFile, start: int, count: int) -> Iterator[Block]:
    """Read samples start to start + count in blocks, as far as the header says they go."""
    if start >= file.frames:
        return
    file.seek(start)
    left = min(count, file.frames - start)
    step = samples_at_once(file.channels)
    # To scale the values of a WAV file, libsndfile takes three times as long as NumPy.
    is_short = file.subtype == "PCM_16" and file.format != "FLAC"
    dtype = "int16" if is_short else "float32"
    while left:
        block = file.read(min(step, left), dtype=dtype, always_2d=True)
        if not len(block):
            raise DecodeError("cannot be decoded (it ends before its header says)")
        left -= len(block)
        yield file.samplerate, scaled_mean(list(block.T))
