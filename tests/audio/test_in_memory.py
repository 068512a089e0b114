"""Audio in memory: samples give what the file with them gives, and what is no audio is refused."""

import io

import numpy as np
import pytest
import soundfile

from audiotag.audio.in_memory import Sound, as_input
from audiotag.audio.sources import BLOCK_VALUES
from audiotag.audio.streams import read, stream

LONG = BLOCK_VALUES // 2 + 12_345  # samples; several blocks where there are two channels
SUBTYPES = {"int16": "PCM_16", "float32": "FLOAT", "float64": "DOUBLE"}


def noise(dtype: str, channels: int, length: int = 9_000) -> np.ndarray:
    """Samples (T, channels)."""
    values = np.random.default_rng(0).uniform(-1, 1, (length, channels))
    return (32_767 * values).astype(dtype) if dtype == "int16" else values.astype(dtype)


@pytest.mark.parametrize("dtype", SUBTYPES)
@pytest.mark.parametrize(("channels", "length"), [(1, 9_000), (2, 9_000), (3, 700), (2, LONG)])
@pytest.mark.parametrize("rate", [32_000, 44_100])
def test_samples_are_read_as_the_wav_file_with_them(tmp_path, dtype, channels, length, rate):
    samples = noise(dtype, channels, length)
    soundfile.write(tmp_path / "x.wav", samples, rate, subtype=SUBTYPES[dtype])
    expected = read(tmp_path / "x.wav", 32_000)
    for given, last in ((samples.T, False), (samples, True)):
        got = read(as_input(given, rate, channels_last=last), 32_000)
        np.testing.assert_array_equal(got, expected)


def test_scale_and_mix_are_those_of_the_definition():
    samples = np.array([[-32_768, 16_384, 1], [0, -16_384, 32_767]], np.int16).repeat(2, axis=1)
    expected = (samples / 32_768).mean(axis=0)
    np.testing.assert_allclose(read(as_input(samples, 32_000), 32_000), expected, atol=1e-7)
    scaled = (samples / 32_768).astype(np.float16)
    np.testing.assert_allclose(read(as_input(scaled, 32_000), 32_000), expected, atol=1e-3)
    np.testing.assert_array_equal(read(as_input(np.full(9, 1.5), 100), 100), np.ones(9))


def test_a_part_of_an_array_is_read_as_that_of_a_file(tmp_path):
    samples = noise("int16", 2, LONG)
    soundfile.write(tmp_path / "x.wav", samples, 16_000)
    part = {"start": 20.0, "duration": 12.5}
    expected = read(tmp_path / "x.wav", 16_000, **part)
    assert len(expected) == 12.5 * 16_000
    np.testing.assert_array_equal(read(as_input(samples.T, 16_000), 16_000, **part), expected)


def test_torch_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    samples = noise("float32", 2).T.copy()
    got = read(as_input(torch.from_numpy(samples), 32_000), 32_000)
    np.testing.assert_array_equal(got, read(as_input(samples, 32_000), 32_000))


def test_files_in_memory_are_read_as_files(tmp_path, make_wav):
    path = make_wav(tmp_path / "x.wav", 0.5, 44_100, 2)
    expected = read(path, 32_000)
    content = path.read_bytes()
    with path.open("rb") as file:
        given = [content, bytearray(content), memoryview(content), io.BytesIO(content), file]
        inputs = [as_input(one) for one in given]
    for one in inputs:
        np.testing.assert_array_equal(read(one, 32_000), expected)
    names = [*["<bytes>"] * 3, "<file>", str(path)]
    assert [str(one) for one in inputs] == names
    assert as_input(str(path)) == as_input(path) == path


def test_each_call_reads_the_sound_anew():
    sound = as_input(noise("float32", 1)[:, 0], 32_000)
    assert isinstance(sound, Sound)
    first, second = (np.concatenate(list(stream(sound, 16_000))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("audio", "options", "error", "message"),
    [
        (np.zeros(9), {}, TypeError, "add sample_rate="),
        (np.zeros(9), {"sample_rate": 0}, ValueError, "sample_rate is 0"),
        (np.zeros(9), {"sample_rate": 22_050.5}, ValueError, "whole number"),
        (np.zeros(9), {"sample_rate": float("nan")}, ValueError, "sample_rate is nan"),
        (np.zeros(9, np.int32), {"sample_rate": 8_000}, TypeError, "int32; give int16"),
        (np.zeros(9, bool), {"sample_rate": 8_000}, TypeError, "bool; give int16"),
        (np.zeros(9, complex), {"sample_rate": 8_000}, TypeError, "complex128; give int16"),
        (np.array(["a"]), {"sample_rate": 8_000}, TypeError, "give int16"),
        (np.zeros((1, 2, 9)), {"sample_rate": 8_000}, ValueError, r"\(1, 2, 9\); give \(T,\) or"),
        (np.zeros(()), {"sample_rate": 8_000}, ValueError, r"shape \(\)"),
        (np.zeros((2, 0)), {"sample_rate": 8_000}, ValueError, "no samples"),
        (np.zeros((9, 2)), {"sample_rate": 8_000}, ValueError, "add channels_last=True"),
        (
            np.zeros((2, 9)),
            {"sample_rate": 8_000, "channels_last": True},
            ValueError,
            "leave out channels_last",
        ),
        (
            np.zeros(9),
            {"sample_rate": 8_000, "channels_last": True},
            ValueError,
            r"give \(T, channels\)",
        ),
        (np.array([0, np.nan]), {"sample_rate": 8_000}, ValueError, "NaN or infinity"),
        (np.array([0, 1e300]), {"sample_rate": 8_000}, ValueError, "NaN or infinity"),
        ("x.wav", {"sample_rate": 8_000}, TypeError, "are for arrays"),
        (b"RIFF", {"channels_last": True}, TypeError, "are for arrays"),
        (io.StringIO("x"), {}, TypeError, 'mode "rb"'),
        (7, {}, TypeError, "a int is not audio"),
    ],
)
def test_what_is_no_audio_is_refused_with_the_remedy(audio, options, error, message):
    with pytest.raises(error, match=message):
        as_input(audio, **options)
