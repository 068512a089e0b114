"""Pipes: recordings of every format are told from lists of paths, and lists give their paths."""

import io
import os
from importlib.resources import files
from pathlib import Path

import pytest

from audiotag.audio.standard_input import HEAD, is_audio, listed_paths, read_head
from tests.support.audio_files import DAMAGED, noise, write

SAMPLES = Path(str(files("audiotag") / "assets" / "samples"))
LONG = "/" + "long folder/" * 12 + "x.wav"


def paths(data: bytes) -> list[str]:
    file = io.BytesIO(data)
    head = read_head(file)
    assert not is_audio(head)
    return list(listed_paths(head, file))


@pytest.mark.parametrize("suffix", DAMAGED)
def test_recordings_of_every_format_are_audio(tmp_path, suffix):
    path = write(tmp_path, suffix, noise(1.0, 48_000), 48_000)
    with path.open("rb", buffering=0) as file:
        assert is_audio(read_head(file))


def test_samples_are_audio():
    recordings = [path for path in SAMPLES.iterdir() if path.suffix != ".md"]
    assert len(recordings) == 10
    for path in recordings:
        assert is_audio(path.read_bytes()[:4096]), path


@pytest.mark.parametrize("data", [b"#!AMR\n<\x91", b"NIST_1A\n   1024\n", bytes(100)])
def test_headers_that_are_text_and_nothing_but_zeros_are_audio(data):
    assert is_audio(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a.wav\nb c.mp3\n", ["a.wav", "b c.mp3"]),
        (b"a.wav\r\n\r\n  \nb.mp3", ["a.wav", "b.mp3"]),
        (b"\xef\xbb\xbfa.wav\nb.mp3\n", ["a.wav", "b.mp3"]),
        (b"a.wav\0b\nc.mp3\0 \0d\r\0", ["a.wav", "b\nc.mp3", " ", "d\r"]),
        (b"only.wav\0", ["only.wav"]),
        (b"RIFF/a.wav\nID3.mp3\nOggS\nfLaC\n", ["RIFF/a.wav", "ID3.mp3", "OggS", "fLaC"]),
        ("é/音.flac\n".encode(), ["é/音.flac"]),
        (b"caf\xe9.wav\n\xffodd\n", ["caf\udce9.wav", "\udcffodd"]),
        (f"{LONG}\0{LONG}b\0".encode(), [LONG, f"{LONG}b"]),
        (f"{LONG}\n{LONG}b".encode(), [LONG, f"{LONG}b"]),
        (b"", []),
        (b"\n\n", []),
    ],
)  # fmt: skip
def test_lists_give_their_paths(data, expected):
    assert paths(data) == expected


def test_long_lists_give_every_path():
    names = [f"folder {i % 7}/{i:05}.wav" for i in range(20_000)]
    assert len("\n".join(names)) > 4 * HEAD
    assert paths("\n".join(names).encode()) == names
    assert paths("\0".join(names).encode()) == names


def test_utf_16_is_named():
    head = "a.wav\n".encode("utf-16")
    assert not is_audio(head)
    with pytest.raises(ValueError, match="write it in UTF-8"):
        list(listed_paths(head, io.BytesIO()))


def test_a_path_is_given_before_the_next_is_written():
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as file, open(writing, "wb", buffering=0) as pipe:
        pipe.write(b"a.wav\nb.")
        listed = listed_paths(read_head(file), file)
        assert next(listed) == "a.wav"
        pipe.write(b"wav\n")
        assert next(listed) == "b.wav"
        pipe.close()
        assert list(listed) == []
