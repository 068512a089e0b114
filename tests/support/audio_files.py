"""Signals, files of them in every format, and measures of what comes back."""

from itertools import product
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 32_000  # Hz, of what is read
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
LFE = (3, 5)  # channels of 5.1 that one format or another filters to below 120 Hz
ALL_RATES = (8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
# How PyAV writes a suffix: codec, container, video codec.
AV_FORMATS = {
    ".mp3": ("libmp3lame", "mp3", None),
    ".m4a": ("aac", "mp4", None),
    ".alac.m4a": ("alac", "mp4", None),
    ".aac": ("aac", "adts", None),
    ".mp4": ("aac", "mp4", "mpeg4"),
    ".mov": ("pcm_s16le", "mov", "mpeg4"),
    ".avi": ("libmp3lame", "avi", "mpeg4"),
    ".mkv": ("ac3", "matroska", "mpeg4"),
    ".u8.mov": ("pcm_u8", "mov", None),
    ".mka": ("flac", "matroska", None),
    ".opus": ("libopus", "opus", None),
    ".webm": ("libopus", "webm", None),
    ".mts": ("mp2", "mpegts", None),
    ".wma": ("wmav2", "asf", None),
    ".wv": ("wavpack", "wv", None),
}
# Exact to a quantisation step: suffix, soundfile's subtype (None: written by PyAV), step.
LOSSLESS = [
    (".wav", "PCM_U8", 2**-7), (".wav", "PCM_16", 2**-15), (".wav", "PCM_24", 2**-23),
    (".wav", "PCM_32", 2**-24), (".wav", "FLOAT", 2**-24), (".wav", "DOUBLE", 2**-24),
    (".flac", "PCM_16", 2**-15), (".flac", "PCM_24", 2**-23), (".aiff", "PCM_16", 2**-15),
    (".au", "PCM_16", 2**-15), (".caf", "PCM_16", 2**-15), (".w64", "PCM_16", 2**-15),
    (".alac.m4a", None, 2**-15), (".mov", None, 2**-15), (".mka", None, 2**-15),
    (".u8.mov", None, 2**-7),
]  # fmt: skip
# Suffix, rates its encoder takes, channel counts.
LOSSY = [
    (".ogg", ALL_RATES, (1, 2, 6)), (".mp3", ALL_RATES[:-1], (1, 2)),
    (".m4a", ALL_RATES, (1, 2, 6)), (".aac", ALL_RATES, (1, 2, 6)), (".mp4", ALL_RATES, (1, 2, 6)),
    (".avi", (22_050, 44_100, 48_000), (1, 2)), (".mkv", (32_000, 44_100, 48_000), (1, 2, 6)),
    (".opus", (8_000, 16_000, 48_000), (1, 2, 6)), (".webm", (8_000, 16_000, 48_000), (1, 2, 6)),
    (".wma", (16_000, 22_050, 32_000, 44_100, 48_000), (1, 2)),
]  # fmt: skip
LOSSLESS_CASES = [(*form, *rest) for form, *rest in product(LOSSLESS, ALL_RATES, (1, 2, 6))]
LOSSY_CASES = [(s, rate, n) for s, rates, counts in LOSSY for rate, n in product(rates, counts)]
SEEKABLE = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".opus", ".aac")
DAMAGED = (".wav", ".flac", ".ogg", ".aiff", ".caf", *AV_FORMATS)


def sine(seconds, rate, channels=1, frequency=440.0):
    """(T, C): a sine that is weaker in each further channel and absent from those for bass."""
    time = np.arange(round(seconds * rate)) / rate
    gains = np.array([0.8 - 0.1 * c if c not in LFE else 0.0 for c in range(channels)])
    return np.sin(2 * np.pi * frequency * time)[:, None] * gains


def chirp(seconds, rate):
    """(T, 1): a sweep, so that a shift in time shows."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * time + 150 * time**2))[:, None]


def noise(seconds, rate, channels=1, seed=0):
    values = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    return 0.1 * values.astype(np.float32)


def write(folder: Path, suffix, samples, rate, subtype=None) -> Path:
    """Write (T, C) samples in the format of a suffix."""
    path = folder / f"sound{suffix}"
    if suffix in AV_FORMATS:
        write_av(path, *AV_FORMATS[suffix], samples, rate)
    else:
        soundfile.write(path, samples, rate, subtype=subtype)
    return path


def write_av(path, codec, container, video, samples, rate, options=None):
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        picture = add_picture(output, video) if video else None
        sound = output.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 96_000 * samples.shape[1]
        for frame in encoder_frames(sound.codec_context, samples, rate, layout):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
        if picture:
            mux_video(output, picture, round(10 * len(samples) / rate))


def encoder_frames(context, samples, rate, layout):
    """Frames of the size and sample format an encoder wants, timed from 0."""
    packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    size = context.frame_size or None
    shaper = av.AudioResampler(context.format.name, layout, rate, frame_size=size)
    return [*shaper.resample(frame), *shaper.resample(None)]


def add_picture(output, codec):
    picture = output.add_stream(codec, rate=10)
    picture.width, picture.height = 64, 48
    return picture


def mux_video(output, picture, count):
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index % 255, np.uint8))
        frame.pts = index
        output.mux(picture.encode(frame))
    output.mux(picture.encode(None))


def fitted(samples, rate, frequency=440.0):
    """Amplitude of a sine in the middle half of the samples, and the RMS of what is not it."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    phase = 2 * np.pi * frequency * np.arange(len(middle)) / rate
    basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    weights = np.linalg.lstsq(basis, middle, rcond=None)[0]
    return np.hypot(*weights), np.sqrt(np.mean((middle - basis @ weights) ** 2))


def lag(samples, reference):
    """Samples by which a signal comes after its reference."""
    size = 2 * max(len(samples), len(reference))
    product_ = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(reference, size))
    peak = int(np.argmax(np.fft.irfft(product_)))
    return peak if peak < size // 2 else peak - size
