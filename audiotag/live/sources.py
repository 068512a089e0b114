"""What can be listened to: microphones, addresses, pipes, and arrays from a program."""

import os
import queue
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from audiotag.audio.helper_process import Warn
from audiotag.audio.helpers import in_helper
from audiotag.audio.in_memory import Samples, as_input
from audiotag.audio.live import ADDRESS, TIMEOUT, from_pcm, received
from audiotag.audio.mono import Hearing, Mixer
from audiotag.audio.sources import MAX_RATE, MIN_RATE, USUAL, Block, Listening
from audiotag.audio.streams import resampled
from audiotag.errors import AudioError

MICROPHONE, STANDARD_INPUT = "mic", "-"
PIECE = 0.1  # s of sound taken from a microphone or a pipe at once
PCM = {"u8": "u1", "s16le": "<i2", "s16be": ">i2", "s32le": "<i4", "f32le": "<f4", "f32be": ">f4"}
RAW = re.compile(r"(?P<rate>\d+)(:(?P<channels>\d+)(:(?P<kind>\w+))?)?")


class Source(Protocol):
    """Something with sound that goes on.

    Attributes:
        name: What results and messages call it, without a password.
        is_live: Whether its sound comes as it sounds, and is asked for again if it breaks off.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_live(self) -> bool: ...

    def blocks(self, sample_rate: int, warn: Warn) -> Iterator[np.ndarray]:
        """Its sound from now on: mono float32 blocks (T,) in [-1, 1].

        Raises:
            AudioError: It cannot be opened, or breaks off.
        """
        ...


@dataclass(frozen=True)
class Address:
    """A camera or a stream; `url` may hold a password, and `name` does not.

    Attributes:
        url: Such as rtsp://user:password@camera/stream.
        listening: The track and channel to hear.
    """

    url: str
    listening: Listening = USUAL
    is_live = True

    @property
    def name(self) -> str:
        """The address without what may be secret: user, password, and what follows a "?"."""
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{place}{parts.path}{'?...' if parts.query else ''}"

    def blocks(self, sample_rate: int, warn: Warn) -> Iterator[np.ndarray]:
        """As of `Source`; decoded in a process of its own."""
        arguments = (self.url, self.name, sample_rate, self.listening)
        yield from in_helper(self.name, received, arguments, warn)


@dataclass(frozen=True)
class RawFormat:
    """How samples without a header are stored.

    Attributes:
        rate: Hz.
        channels: Interleaved.
        kind: A key of `PCM`.
    """

    rate: int
    channels: int = 1
    kind: str = "s16le"

    @classmethod
    def parse(cls, text: str) -> "RawFormat":
        """A format such as "48000:2:s16le"; channels and kind may be left out.

        Raises:
            ValueError: It is none.
        """
        match = RAW.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not RATE[:CHANNELS[:FORMAT]], such as 48000:2:s16le")
        rate, channels, kind = int(match["rate"]), int(match["channels"] or 1), match["kind"]
        if not MIN_RATE <= rate <= MAX_RATE:
            raise ValueError(f"a rate of {rate} Hz is not from {MIN_RATE} to {MAX_RATE}")
        if not 1 <= channels <= 64:
            raise ValueError(f"{channels} channels are not from 1 to 64")
        if (kind or "s16le") not in PCM:
            raise ValueError(f"{kind!r} is none of the formats {', '.join(PCM)}")
        return cls(rate, channels, kind or "s16le")


@dataclass(frozen=True)
class Pipe:
    """Standard input or a named pipe: audio of any format, or raw samples.

    Attributes:
        path: The pipe; None for standard input.
        raw: How its samples are stored, if they are raw.
        listening: The track and channel to hear.
    """

    path: str | None = None
    raw: RawFormat | None = None
    listening: Listening = USUAL
    is_live = False

    @property
    def name(self) -> str:
        """The path, or `-`."""
        return self.path or STANDARD_INPUT

    def blocks(self, sample_rate: int, warn: Warn) -> Iterator[np.ndarray]:
        """As of `Source`."""
        if self.raw is None:
            # A helper has a standard input of its own, and finds ours by its number.
            path = self.path or f"/proc/{os.getpid()}/fd/0"
            arguments = (path, self.name, sample_rate, self.listening)
            yield from in_helper(self.name, received, arguments, warn)
            return
        with open(0 if self.path is None else self.path, "rb", 0, closefd=bool(self.path)) as file:
            yield from resampled(self._samples(file, self.raw), sample_rate)

    def _samples(self, file: IO[bytes], raw: RawFormat) -> Iterator[Block]:
        mixer = Mixer(Hearing(self.listening))
        frame = np.dtype(PCM[raw.kind]).itemsize * raw.channels  # bytes
        size, rest = round(PIECE * raw.rate) * frame, b""
        while data := file.read(size - len(rest)):
            data = rest + data
            whole = len(data) // frame * frame
            data, rest = data[:whole], data[whole:]
            if data:
                yield raw.rate, mixer.mix(from_pcm(data, PCM[raw.kind], raw.channels))


@dataclass(frozen=True)
class Microphone:
    """A microphone, or another device that records.

    Attributes:
        device: A part of its name, or its number; None for the usual one.
        listening: The channel to hear.
    """

    device: str | None = None
    listening: Listening = USUAL
    is_live = True

    @property
    def name(self) -> str:
        """`mic`, or `mic:DEVICE`."""
        return MICROPHONE if self.device is None else f"{MICROPHONE}:{self.device}"

    def blocks(self, sample_rate: int, warn: Warn) -> Iterator[np.ndarray]:
        """As of `Source`."""
        yield from resampled(self._samples(warn), sample_rate)

    def _samples(self, warn: Warn) -> Iterator[Block]:
        sounddevice = _sounddevice()
        arrived: queue.SimpleQueue[tuple[np.ndarray, bool]] = queue.SimpleQueue()

        def take(samples: np.ndarray, frames: int, times: Any, status: Any) -> None:
            arrived.put((samples.T.copy(), bool(status.input_overflow)))

        try:
            device = self._number(sounddevice)
            about = sounddevice.query_devices(device, "input")
            rate = int(about["default_samplerate"])
            channels = 1 if self.listening.channel is None else about["max_input_channels"]
            stream = sounddevice.InputStream(
                samplerate=rate,
                blocksize=round(PIECE * rate),
                device=device,
                channels=channels,
                dtype="float32",
                callback=take,
            )
            mixer = Mixer(Hearing(self.listening))
            with stream:
                while True:
                    samples, is_lossy = arrived.get(timeout=TIMEOUT)
                    if is_lossy:
                        warn("the microphone was faster than this computer: sound was lost")
                    yield rate, mixer.mix(list(samples))
        except queue.Empty as error:
            raise AudioError(f"{self.name}: no sound for {TIMEOUT:.0f} s") from error
        except sounddevice.PortAudioError as error:
            raise AudioError(f"{self.name}: cannot be opened ({error.args[0]})") from error

    def _number(self, sounddevice: Any) -> int | None:
        """Number of the device.

        Raises:
            AudioError: There is none with this name.
        """
        if self.device is None:
            return None
        devices = list(microphones(sounddevice))
        for number, name in devices:
            if self.device == str(number) or self.device.lower() in name.lower():
                return number
        known = "; ".join(f"{number} {name}" for number, name in devices) or "none"
        raise AudioError(f"{self.name}: there is no such microphone; there are: {known}")


@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples that a program gives, piece by piece.

    Attributes:
        pieces: (T,) or (channels, T), int16 or floating point in [-1, 1].
        sample_rate: Hz.
        name: As of `Source`.
    """

    pieces: Iterable[Any]
    sample_rate: float
    name: str = "<arrays>"
    is_live: bool = field(default=False, init=False)

    def blocks(self, sample_rate: int, warn: Warn) -> Iterator[np.ndarray]:
        """As of `Source`."""
        yield from resampled(self._samples(), sample_rate)

    def _samples(self) -> Iterator[Block]:
        mixer = Mixer()
        for piece in self.pieces:
            if np.size(piece):
                sound: Any = as_input(piece, self.sample_rate)
                samples: Samples = sound.content
                yield samples.rate, mixer.mix(list(samples.channels))


def parse_source(text: str, raw: RawFormat | None, listening: Listening = USUAL) -> Source:
    """The source that a user names: `mic`, `mic:DEVICE`, an address, a named pipe, or `-`.

    Args:
        text: Its name.
        raw: How the samples of a pipe are stored, if they are raw.
        listening: The track and channel to hear.

    Raises:
        ValueError: There is no such source.
    """
    kind, _, device = text.partition(":")
    if kind == MICROPHONE and "://" not in text:
        return Microphone(device or None, listening)
    if ADDRESS.match(text):
        if text.lower().startswith("file:"):
            raise ValueError(f"{text} is a file; audiotag tag --events finds what is in files")
        return Address(text, listening)
    if text == STANDARD_INPUT:
        if raw is None and sys.platform != "linux":
            raise ValueError("standard input takes raw samples alone on this system: add --raw")
        return Pipe(None, raw, listening)
    try:
        mode = os.stat(text).st_mode
    except OSError:
        raise ValueError(
            f"there is no {text}; listen to mic, to an address such as rtsp://camera/stream, or to "
            "- for standard input"
        ) from None
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return Pipe(text, raw, listening)
    raise ValueError(
        f"{text} is a file or a folder: audiotag tag --events says when each sound begins and ends "
        f"in it"
    )


def microphones(sounddevice: Any = None) -> Iterator[tuple[int, str]]:
    """Number and name of each device that records.

    Raises:
        AudioError: There is no sound system.
        ModuleNotFoundError: sounddevice is not installed.
    """
    devices = (sounddevice or _sounddevice()).query_devices()
    return ((i, about["name"]) for i, about in enumerate(devices) if about["max_input_channels"])


def _sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:  # sounddevice is installed, and finds no PortAudio
        raise AudioError(
            "microphones need the library PortAudio (on Debian: apt install libportaudio2)"
        ) from error
    return sounddevice
