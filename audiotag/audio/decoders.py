"""Decoders: a file, or a file's bytes, to mono blocks at the recording's own rate.

- libsndfile (soundfile) decodes plain formats, except MP3: its decoder writes warnings straight to
  standard error for many ordinary files.
- FFmpeg (PyAV) decodes all others. It also continues where libsndfile stops, as it skips damaged
  packets instead of giving up.
- miniaudio decodes short FLAC and MP3 files whose header gives their length. It takes half of
  libsndfile's time. If several files are decoded at once it takes two thirds of FFmpeg's, whose
  packets each wait for Python's lock.

A block is a pair (sample rate in Hz, mono float32 samples of shape (T,)).
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from audiotag.audio.clock import MISSING
from audiotag.audio.cut_short import why_cut_short
from audiotag.audio.endings import flac_goes_on, vorbis_goes_on
from audiotag.audio.ffmpeg import with_pyav
from audiotag.audio.headers import FLAC_MARK, Announced, after_tags, free_format, read_announced
from audiotag.audio.helper_process import Warn
from audiotag.audio.levels import levelled
from audiotag.audio.mono import ALL, Hearing, Mixer, cut
from audiotag.audio.ogg_pages import read_pages
from audiotag.audio.parts import parts_of
from audiotag.audio.repaired import AU_MARKS, Part
from audiotag.audio.sources import (
    NO_SAMPLES,
    USUAL,
    Block,
    CutShortError,
    DecodeError,
    Listening,
    Pieces,
    Readable,
    Source,
    checked_rate,
    ignore,
    open_source,
    read_at,
    samples_at_once,
    size_of,
)

EMPTY_FILE = "the file is empty"
SHORT_VALUES = 2**22  # samples times channels of a short file, 48 s of a CD's sound
SHORT_BYTES = 2**24  # of a short file, with the pictures that it may hold
MP3_MARKS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xe3")  # a tag, or a frame of layer 3
# Of formats that libsndfile alone knows: PAF, Psion, FastTracker 2 and AU from little-endian DECs.
LIBSNDFILE_MARKS = (b" paf", b"fap ", b"ALawSoundFile", b"Extended Instrument", b"dns.")
AU_ADPCM = (23, 25, 26)  # codes of G.721 and G.723, in which FFmpeg takes the bits in another order
FREE_FRAMES = 2**16  # samples of each channel decoded at once of an MP3 file of free bit rate
LAST_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # after an MP3 file's audio
FLOATS = ("FLOAT", "DOUBLE")  # libsndfile's names of samples that may go beyond 1
READ_AHEAD = 2**16  # bytes that libsndfile may have read of a file's end, and not decoded
ENDS_EARLY = ("ends at", "is damaged")  # warnings that say so already
Decoder = Callable[[Readable, float, float, Hearing], Iterator[Block]]


def decode(
    source: Source,
    start: float = 0.0,
    duration: float = np.inf,
    listening: Listening = USUAL,
    warn: Warn = ignore,
) -> Iterator[Block]:
    """Decode everything that a player would play of a file, with its times and levels.

    Args:
        source: path of a file, or a file's bytes.
        start: time to start at, in seconds.
        duration: seconds to decode; a shorter recording ends earlier.
        listening: the track and channel to hear.
        warn: called with what is doubtful, a sentence each.

    Yields:
        Blocks of at most about `BLOCK_VALUES` samples, none of them empty.

    Raises:
        DecodeError: not one sample could be decoded.
        OSError: the file cannot be opened.
    """
    parts = parts_of(source, warn)
    if len(parts) == 1:
        yield from _decoded(parts[0], start, duration, listening, warn)
        return
    is_empty = True
    for block in cut(_joined(parts, listening, warn), start, duration):
        is_empty = False
        yield block
    if is_empty:
        raise DecodeError(NO_SAMPLES)


def _joined(parts: list[Part], listening: Listening, warn: Warn) -> Iterator[Block]:
    """Decode the files that a file consists of, one after another."""
    for number, part in enumerate(parts, 1):
        try:
            yield from _decoded(part, 0.0, np.inf, listening, warn)
        except DecodeError as error:
            warn(f"consists of {len(parts)} files, of which number {number} {error}")


def _decoded(
    part: Part, start: float, duration: float, listening: Listening, warn: Warn
) -> Iterator[Block]:
    """Decode with the first decoder that can; where it stops, continue with the next one."""
    done, reason = 0.0, NO_SAMPLES
    missing = 0.0
    said: list[str] = []

    def note(text: str) -> None:
        said.append(text)
        warn(text)

    hearing = Hearing(listening, part.is_ambisonic, note)
    for decoder in _decoders(part.source, listening):
        try:
            for rate, mono in decoder(part.source, start + done, duration - done, hearing):
                done += len(mono) / rate
                missing = 0.0
                yield rate, mono
            if done:  # a recorder that crashed leaves a header of no samples before good ones
                break
        except DecodeError as error:
            reason = str(error)
            missing = error.missing if isinstance(error, CutShortError) else missing
    if not done:
        raise DecodeError(reason)
    if missing > MISSING:
        note(f"ends at {start + done:.1f} s, before its header says")
    if done < duration and not any(text.startswith(ENDS_EARLY) for text in said):
        with open_source(part.source) as file:
            reason = why_cut_short(file, 0, size_of(file)) or ""
        if reason:
            warn(reason)


def with_miniaudio(
    source: Readable, start: float, duration: float, hearing: Hearing = ALL
) -> Iterator[Block]:
    """Decode a short FLAC or MP3 file completely or not at all: miniaudio would skip damaged frames
    without leaving a gap. Samples of MP3 files are rounded to 16 bits.

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
    is_whole = form.skipped + form.count <= form.decoded == len(samples) // form.channels
    if whole.nchannels != form.channels or not is_whole:
        raise DecodeError("cannot be decoded (it is not as long as its header says)")
    channels = samples.reshape(-1, form.channels)[form.skipped :][: form.count].T
    mono = Mixer(hearing).mix(list(channels))
    yield from cut(iter([(form.rate, mono)]), start, duration)


def _read_short(source: Readable) -> tuple[Announced, bytes]:
    """The header of a short file, and the bytes of its audio."""
    with open_source(source) as file:
        form = read_announced(file)
        if form is None or form.count * form.channels > SHORT_VALUES:
            raise DecodeError("cannot be decoded (it is long, or does not say how long)")
        checked_rate(form.rate)
        file.seek(form.begin)
        data = file.read(SHORT_BYTES + 1)
        if data.startswith(FLAC_MARK) and flac_goes_on(file, form.count):
            raise DecodeError("cannot be decoded (there is more in it than its header says)")
    rest = b"" if form.size is None else data[form.size :]
    if len(data) > SHORT_BYTES or not (rest == b"" or rest.startswith(LAST_TAGS)):
        raise DecodeError("cannot be decoded (there is more in it than its header says)")
    return form, data[: form.size]


def with_free_format(
    source: Readable, start: float, duration: float, hearing: Hearing = ALL
) -> Iterator[Block]:
    """Decode an MP3 file of free bit rate, which FFmpeg cannot, with miniaudio, rounded to 16 bits.
    Unless miniaudio can open its path itself, it is decoded all at once.

    Raises:
        DecodeError: miniaudio is missing, or cannot decode it.
    """
    try:
        import miniaudio
    except ImportError as error:
        raise DecodeError("cannot be decoded (miniaudio is not installed)") from error
    try:
        with open_source(source) as file:
            form = free_format(file)
            if form is None:
                raise DecodeError("cannot be decoded (its bit rate is not free)")
            rate, channels = form
            if isinstance(source, Path) and str(source).isascii():
                pieces: Iterable = miniaudio.mp3_stream_file(str(source.absolute()), FREE_FRAMES)
            else:
                pieces = [miniaudio.mp3_read_s16(read_at(file, after_tags(file), -1)).samples]
        yield from cut(_mixed(pieces, channels, rate, Mixer(hearing)), start, duration)
    except miniaudio.DecodeError as error:
        raise DecodeError(f"cannot be decoded ({error})") from error


def _mixed(pieces: Iterable, channels: int, rate: int, mixer: Mixer) -> Iterator[Block]:
    """Blocks of interleaved 16-bit samples."""
    for piece in pieces:
        samples = np.frombuffer(piece, np.int16).reshape(-1, channels)
        step = samples_at_once(channels)
        for begin in range(0, len(samples), step):
            yield rate, mixer.mix(list(samples[begin : begin + step].T))


def with_soundfile(
    source: Readable, start: float, duration: float, hearing: Hearing = ALL
) -> Iterator[Block]:
    """Decode with libsndfile.

    Raises:
        DecodeError: libsndfile cannot open the file or read on, or the file is shorter or longer
            than its header says.
    """
    try:
        with open_source(source) as raw, _sound_file(raw) as file:
            rate = checked_rate(file.samplerate)
            begin, count = round(start * rate), round(min(duration * rate, file.frames))
            yield from _levelled(file, begin, count, hearing)
            if file.format == "FLAC" and begin + count >= file.frames:
                _check_end(raw, file.frames)
    except soundfile.LibsndfileError as error:
        raise DecodeError(f"cannot be decoded ({error.error_string.rstrip('.')})") from error


def _check_end(raw: IO[bytes], count: int) -> None:
    """Refuse a FLAC file that has more than `count` samples, after they have been decoded."""
    place = raw.tell()
    goes_on = flac_goes_on(raw, count)
    if size_of(raw) - place > READ_AHEAD if goes_on is None else goes_on:
        raise DecodeError("cannot be decoded (there is more in it than its header says)")


def _decoders(source: Readable, listening: Listening) -> tuple[Decoder, ...]:
    """The decoders for a file, by its first bytes."""
    with open_source(source) as file:
        head = file.read(64)
        is_free = head.startswith(MP3_MARKS) and free_format(file) is not None
        is_plain = _is_plain(head) or (_is_vorbis(head) and _is_complete_vorbis(file))
    if not head:
        raise DecodeError(EMPTY_FILE)
    if listening.track not in (None, 1):
        return (with_pyav,)  # it knows all tracks
    if head.startswith(FLAC_MARK):
        return with_miniaudio, with_soundfile, with_pyav
    if head.startswith(MP3_MARKS):
        return with_free_format if is_free else with_miniaudio, with_pyav
    is_repaired = isinstance(source, Pieces) and head.startswith(AU_MARKS)
    return (with_soundfile, with_pyav) if is_repaired or is_plain else (with_pyav,)


def _is_plain(head: bytes) -> bool:
    """Whether the first bytes are those of a format libsndfile decodes well."""
    chunked = head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM")
    if chunked:
        return head[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    if head.startswith(b".snd"):
        return int.from_bytes(head[12:16], "big") in AU_ADPCM
    return head.startswith(LIBSNDFILE_MARKS)


def _is_vorbis(head: bytes) -> bool:
    return head.startswith(b"OggS") and b"vorbis" in head


def _is_complete_vorbis(file: IO[bytes]) -> bool:
    """Whether libsndfile hears all of a Vorbis file at the right time: it goes over a lost page
    without a gap, and ends where the file says."""
    return not vorbis_goes_on(file) and not read_pages(file, 0, size_of(file)).lost


def _sound_file(raw: IO[bytes]) -> soundfile.SoundFile:
    # A real file is passed as its descriptor: any name works, and reading needs no Python callback.
    if isinstance(raw, io.FileIO):
        return soundfile.SoundFile(raw.fileno(), closefd=False)
    return soundfile.SoundFile(raw)


def _levelled(
    file: soundfile.SoundFile, start: int, count: int, hearing: Hearing
) -> Iterator[Block]:
    """Samples start to start + count; a floating-point file is scaled to its level."""
    blocks = _read(file, start, count, Mixer(hearing))
    if file.subtype not in FLOATS:
        return blocks
    is_one_block = start == 0 and count == file.frames <= samples_at_once(file.channels)
    whole = None if is_one_block else lambda: _read(file, 0, file.frames, Mixer(hearing))
    return levelled(blocks, whole, hearing.warn)


def _read(file: soundfile.SoundFile, start: int, count: int, mixer: Mixer) -> Iterator[Block]:
    """Read samples start to start + count in blocks, as far as the header says they go."""
    if start >= file.frames:
        return
    if start or file.subtype in FLOATS:  # others are read once; G.721 cannot seek
        file.seek(start)
    left = min(count, file.frames - start)
    step = samples_at_once(file.channels)
    # To scale the values of a WAV file, libsndfile takes three times as long as NumPy.
    is_short = file.subtype == "PCM_16" and file.format != "FLAC"
    dtype = "int16" if is_short else "float32"
    while left:
        block = file.read(min(step, left), dtype=dtype, always_2d=True)
        if not len(block):
            raise CutShortError(left / file.samplerate)
        left -= len(block)
        yield file.samplerate, mixer.mix(list(block.T))
