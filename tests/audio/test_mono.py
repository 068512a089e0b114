"""Channels that cancel in their mean are heard; those that do not are mixed as ever."""

import numpy as np
import pytest

from audiotag.audio.in_memory import as_input
from audiotag.audio.mono import Hearing, Mixer, scaled_mean
from audiotag.audio.sources import Listening
from audiotag.errors import AudioError
from tests.support.audio_files import lag, noise, write
from tests.support.heard import RATE, as_libsndfile, heard, sound_file

SECONDS = 3
SOUND = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * RATE) / RATE)
SOUND += 0.1 * noise(SECONDS, RATE)[:, 0]
HISS = 0.05 * noise(SECONDS, RATE, 8, seed=3)


def mixed(*channels, **listening):
    samples = np.stack(channels, axis=1).astype(np.float32)
    return heard(sound_file(samples, RATE, "WAV", "PCM_24"), Listening(**listening))[0]


def correlation(samples, reference=SOUND):
    """1 for the same sound, whatever its level and sign."""
    return abs(np.corrcoef(samples, reference[: len(samples)])[0, 1])


CANCELLING = {
    "right = -left": (SOUND, -SOUND), "at 0.9": (SOUND, -0.9 * SOUND),
    "with noise": (SOUND + HISS[:, 0], -SOUND + HISS[:, 1]),
    "with an offset": (0.5 * SOUND + 0.3, -0.5 * SOUND + 0.3),
    "5.1": (SOUND, -SOUND, *np.zeros((4, len(SOUND)))),
    "an array": (SOUND, -SOUND, 0.9 * SOUND, -0.9 * SOUND),
}  # fmt: skip


@pytest.mark.parametrize("kind", CANCELLING)
def test_channels_that_cancel(kind):
    samples = mixed(*CANCELLING[kind])
    level = 0.5 if kind == "with an offset" else 1.0
    assert correlation(samples) > 0.99
    assert samples.std() == pytest.approx(level * SOUND.std(), rel=0.1)


@pytest.mark.parametrize("suffix", [".flac", ".m4a", ".mp3", ".ogg", ".mka", ".wma"])
def test_channels_that_cancel_in_every_decoder(tmp_path, suffix):
    path = write(tmp_path, suffix, np.stack([SOUND, -SOUND], axis=1), RATE)
    samples = heard(path)[0]
    assert samples.std() == pytest.approx(SOUND.std(), rel=0.1)


def test_an_array_from_python_whose_channels_cancel():
    samples, _ = heard(as_input(np.stack([SOUND, -SOUND]).astype(np.float32), RATE))
    np.testing.assert_allclose(samples, SOUND, atol=1e-6)


ORDINARY = {
    "the same": (SOUND, SOUND), "independent": tuple(noise(SECONDS, RATE, 2).T),
    "one is silent": (SOUND, 0 * SOUND), "one is an offset": (SOUND / 2, 0 * SOUND + 0.4),
    "delayed": (SOUND, np.roll(SOUND, 20)), "eight": tuple(noise(SECONDS, RATE, 8).T),
    "one of eight": (SOUND, *np.zeros((7, len(SOUND)))),
    "partly turned round": (SOUND + 20 * HISS[:, 0], -0.5 * SOUND + 20 * HISS[:, 1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_channels_are_mixed_to_the_bit(kind):
    samples = np.stack(ORDINARY[kind]).astype(np.float32)
    expected = scaled_mean(list(samples))
    np.testing.assert_array_equal(Mixer().mix(list(samples)), expected)


def test_where_only_a_part_cancels_the_change_makes_no_click():
    turn = 70_000 + int(np.abs(SOUND[70_000:70_200]).argmin())  # where the mean has no click
    after = np.where(np.arange(len(SOUND)) < turn, SOUND, -SOUND)
    samples = mixed(SOUND, after)
    np.testing.assert_allclose(samples[:65_000], SOUND[:65_000], atol=1e-6)
    assert correlation(samples[105_000:], SOUND[105_000:]) > 0.99
    assert samples[105_000:].std() == pytest.approx(SOUND.std(), rel=0.05)
    assert np.abs(np.diff(samples)).max() < 1.05 * np.abs(np.diff(SOUND)).max()


def test_a_rest_that_is_too_short_decides_nothing():
    mixer = Mixer()
    long = np.stack([SOUND, SOUND]).astype(np.float32)
    mixer.mix(list(long))
    rest = [long[0][:100], -long[0][:100]]
    np.testing.assert_array_equal(mixer.mix(rest), np.zeros(100, np.float32))


def test_the_first_channel_of_ambisonics():
    samples = noise(1, RATE, 4).T
    hearing = Hearing(is_ambisonic=True)
    np.testing.assert_array_equal(Mixer(hearing).mix(list(samples)), samples[0])


AMB_GUID = bytes.fromhex("000021072107d3118644c8c1ca000000")


@pytest.mark.parametrize("sign", ["GUID", "iXML"])
def test_b_format_files_are_heard_by_their_first_channel(sign):
    samples = noise(1, RATE, 4)
    data = sound_file(samples, RATE, "WAVEX" if sign == "GUID" else "WAV", "PCM_16")
    if sign == "GUID":
        place = data.index(bytes.fromhex("000000001000800000aa00389b71"))
        data = data[: place + 2] + bytes.fromhex("2107d3118644c8c1ca000000") + data[place + 14 :]
        data = data.replace(bytes.fromhex("0100000021 07"), bytes.fromhex("0100000021 07"))
    else:
        text = b"<BWFXML><TRACK><NAME>AmbiX-W</NAME></TRACK></BWFXML>"
        data += b"iXML" + len(text).to_bytes(4, "little") + text
    np.testing.assert_allclose(heard(data)[0], samples[:, 0], atol=2**-15)


@pytest.mark.parametrize("channel", [1, 2])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a", ".mka"])
def test_one_channel(tmp_path, channel, suffix):
    left, right = SOUND, np.roll(SOUND, 4000)
    path = write(tmp_path, suffix, np.stack([left, right], axis=1), RATE)
    samples, _ = heard(path, Listening(channel=channel))
    assert abs(lag(samples, (left, right)[channel - 1])) <= 2


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a"])
def test_a_channel_there_is_not(tmp_path, suffix):
    path = write(tmp_path, suffix, np.stack([SOUND, SOUND], axis=1), RATE)
    with pytest.raises(AudioError, match="has no channel 3; it has 2$"):
        heard(path, Listening(channel=3))
    with pytest.raises(AudioError, match="has no audio track 2; the last is 1$"):
        heard(path, Listening(track=2))


@pytest.mark.parametrize("name", ["track", "channel"])
def test_numbers_begin_at_one(name):
    with pytest.raises(ValueError, match=f"{name} is 0; the first is 1"):
        Listening(**{name: 0})


def test_a_mean_of_files_is_libsndfiles():
    data = sound_file(noise(1, RATE, 2), RATE)
    np.testing.assert_allclose(heard(data)[0], as_libsndfile(data), atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_channels_that_cancel_for_a_second_alone_are_heard_then_too(rate):
    """Of two seconds, the second one is inverted in the right channel."""
    left = np.random.default_rng(0).normal(0, 0.1, 2 * rate).astype(np.float32)
    right = left.copy()
    right[rate:] *= -1
    mono = Mixer().mix([left, right])
    assert mono[:rate].std() == pytest.approx(left.std(), rel=0.2)
    assert mono[rate:].std() == pytest.approx(left.std(), rel=0.2)
