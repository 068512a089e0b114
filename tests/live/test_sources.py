"""What can be named as a source, and the samples of raw pipes and microphones."""

import os
import sys
import types

import numpy as np
import pytest

from audiotag.audio.sources import Listening
from audiotag.errors import AudioError
from audiotag.live.sources import (
    Address,
    Arrays,
    Microphone,
    Pipe,
    RawFormat,
    microphones,
    parse_source,
)


def no_warning(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://me:secret@camera/live", "rtsp://camera/live"),
        ("rtsp://me:p%40ss@camera:554/live", "rtsp://camera:554/live"),
        ("http://radio/stream?token=secret", "http://radio/stream?..."),
        ("https://[::1]:8000/a.m3u8#secret", "https://[::1]:8000/a.m3u8"),
        ("srt://host:9000?passphrase=secret", "srt://host:9000?..."),
    ],
)
def test_a_name_has_no_secrets(url, name):
    source = parse_source(url, None)
    assert isinstance(source, Address) and source.is_live
    assert source.name == name
    assert "secret" not in source.name and "p%40ss" not in source.name


def test_microphones_and_pipes_are_told_apart(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    assert parse_source("mic", None) == Microphone()
    assert parse_source("mic:USB", None) == Microphone("USB")
    assert parse_source("-", RawFormat(8000)) == Pipe(None, RawFormat(8000))
    assert parse_source(str(fifo), None, Listening(channel=2)).name == str(fifo)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.wav", "there is no nowhere.wav; listen to mic"),
        ("file:///etc/passwd", "is a file; audiotag tag --events"),
        (os.path.dirname(__file__), "is a file or a folder: audiotag tag --events"),
        (__file__, "is a file or a folder: audiotag tag --events"),
    ],
)
def test_what_is_no_source_is_refused_with_the_remedy(name, message):
    with pytest.raises(ValueError, match=message):
        parse_source(name, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "is not RATE"),
        ("48000:0", "0 channels"),
        ("48000:2:mp3", "'mp3' is none of the formats"),
        ("1", "a rate of 1 Hz"),
        ("48000:", "is not RATE"),
    ],
)
def test_what_is_no_raw_format_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        RawFormat.parse(text)


@pytest.mark.parametrize(
    ("kind", "dtype", "scale", "offset"),
    [
        ("u8", "u1", 128, 128),
        ("s16le", "<i2", 2**15, 0),
        ("s16be", ">i2", 2**15, 0),
        ("s32le", "<i4", 2**31, 0),
        ("f32le", "<f4", 1, 0),
        ("f32be", ">f4", 1, 0),
    ],
)
def test_raw_samples_are_those_that_were_written(tmp_path, kind, dtype, scale, offset):
    """Two channels, in pieces that end anywhere in a sample."""
    random = np.random.default_rng(0)
    sound = random.uniform(-0.9, 0.9, (16_000, 2))
    raw = (sound * scale + offset).astype(dtype).tobytes()
    read, write = os.pipe()
    with open(write, "wb") as file:
        file.write(raw[:1001])
        os.set_inheritable(read, True)
        pipe = Pipe(f"/dev/fd/{read}", RawFormat.parse(f"16000:2:{kind}"))
        import threading

        def rest() -> None:
            file.write(raw[1001:])
            file.close()

        thread = threading.Thread(target=rest)
        thread.start()
        heard = np.concatenate(list(pipe.blocks(16_000, no_warning)))
        thread.join()
    os.close(read)
    assert heard == pytest.approx(sound.mean(axis=1), abs=1.5 / min(scale, 2**15) + 1e-6)


def test_arrays_are_resampled_as_one_sound():
    time = np.arange(48_000) / 48_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    pieces = [tone[i : i + 1111] for i in range(0, len(tone), 1111)]
    heard = np.concatenate(list(Arrays(pieces, 48_000).blocks(16_000, no_warning)))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(heard) == 16_000
    assert heard[200:-200] == pytest.approx(expected[200:-200], abs=1e-3)


class Stream:
    """A microphone's stream that calls back with ten pieces."""

    def __init__(self, samplerate, blocksize, device, channels, dtype, callback):
        assert dtype == "float32"
        self.asked = device, channels, samplerate
        STREAMS.append(self)
        status = types.SimpleNamespace(input_overflow=False)
        for number in range(10):
            piece = np.full((blocksize, channels), number / 10, np.float32)
            piece[:, 1:] = -0.5
            callback(piece, blocksize, None, status)
        status = types.SimpleNamespace(input_overflow=True)
        callback(np.zeros((blocksize, channels), np.float32), blocksize, None, status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


STREAMS: list[Stream] = []


@pytest.fixture
def devices(monkeypatch):
    """A sound system with a loudspeaker and two microphones."""
    listed = [
        {"name": "Loudspeaker", "max_input_channels": 0, "default_samplerate": 44100.0},
        {"name": "Built-in", "max_input_channels": 1, "default_samplerate": 44100.0},
        {"name": "USB Mixer", "max_input_channels": 4, "default_samplerate": 16000.0},
    ]

    class PortAudioError(Exception):
        pass

    def query(device=None, kind=None):
        if kind is None:
            return listed
        return listed[1 if device is None else device]

    module = types.SimpleNamespace(
        query_devices=query, InputStream=Stream, PortAudioError=PortAudioError
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    STREAMS.clear()
    return module


def test_microphones_are_listed_by_name(devices):
    assert list(microphones()) == [(1, "Built-in"), (2, "USB Mixer")]


@pytest.mark.parametrize("name", ["usb", "2", "USB Mixer"])
def test_a_microphone_is_heard_by_name_or_number(devices, name):
    warnings: list[str] = []
    blocks = Microphone(name, Listening(channel=1)).blocks(16_000, warnings.append)
    heard = np.concatenate([next(blocks) for _ in range(10)])
    assert STREAMS[0].asked == (2, 4, 16_000)
    assert heard[::1600] == pytest.approx(np.arange(10) / 10)
    next(blocks)
    assert warnings == ["the microphone was faster than this computer: sound was lost"]


def test_an_unknown_microphone_is_answered_with_those_there_are(devices):
    with pytest.raises(AudioError, match="no such microphone; there are: 1 Built-in; 2 USB Mixer"):
        next(Microphone("kitchen").blocks(16_000, no_warning))


def test_a_microphone_that_gives_no_sound_is_an_error(devices, monkeypatch):
    monkeypatch.setattr("audiotag.live.sources.TIMEOUT", 0.1)
    blocks = Microphone().blocks(44_100, lambda text: None)
    with pytest.raises(AudioError, match="mic: no sound for 0 s"):
        for _ in blocks:
            pass


def test_without_a_sound_system_the_remedy_is_named(monkeypatch):
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(AudioError, match="apt install libportaudio2"):
        list(microphones())
