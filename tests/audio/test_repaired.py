"""Uncompressed files whose headers are wrong give what the right file gives."""

import io
import struct

import av
import numpy as np
import pytest

from audiotag.errors import AudioError
from tests.support.audio_files import encoder_frames, noise, write_av
from tests.support.heard import RATE, as_libsndfile, heard, sound_file

SAMPLES = noise(0.5, RATE, 2)
WAV = sound_file((SAMPLES * 32_767).astype(np.int16), RATE)
RIGHT = as_libsndfile(WAV)
FMT, DATA = WAV[12:36], WAV[36:]
GUID = bytes.fromhex("000000001000800000aa00389b71")
UNKNOWN = 2**32 - 1
LIES = (0, 4, 44, 1000, 95_990, 2**31 - 1, 2**31, UNKNOWN - 1, UNKNOWN)


def put(data: bytes, place: int, value, layout: str = "<I") -> bytes:
    """The bytes with a field changed."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, place, value)
    return bytes(changed)


def chunk(name: bytes, content: bytes, pad: bytes = b"") -> bytes:
    return name + struct.pack("<I", len(content)) + content + pad


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def layout(code, rate_bytes, block, bits, rest=b"", channels=2) -> bytes:
    fields = struct.pack("<HHIIHH", code, channels, RATE, rate_bytes, block, bits)
    return chunk(b"fmt ", fields + rest)


def check(data: bytes, expected=RIGHT):
    samples, warnings = heard(data)
    assert len(samples) == len(expected)
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    return warnings


@pytest.mark.parametrize("size", LIES)
def test_wrong_size_of_the_data(size):
    warnings = check(put(WAV, 40, size))
    assert len(warnings) == (0 < size < len(DATA) - 200)
    assert all("after the end that its header gives, which is heard too" in w for w in warnings)


@pytest.mark.parametrize("size", [0, 10, 36, 2**31, UNKNOWN])
def test_wrong_size_of_the_file(size):
    assert not check(put(WAV, 4, size))
    assert not check(put(put(WAV, 4, size), 40, UNKNOWN))


INFO = b"INFOISFT" + struct.pack("<I", 13) + b"Lavf58.76.10\0"
TAG_1 = b"TAG" + bytes(125)
APE_HEAD = struct.pack("<8sIIIB3x8x", b"APETAGEX", 2000, 50, 1, 0)
APE = (
    struct.pack("<8sIIII8x", b"APETAGEX", 2000, 50, 1, 0xA0000000)
    + b"k" * 18
    + struct.pack("<8sIIII8x", b"APETAGEX", 2000, 50, 1, 0x80000000)
)
TAILS = {
    "LIST": chunk(b"LIST", INFO, b"\0"),
    "LIST without its pad byte": chunk(b"LIST", INFO),
    "id3": chunk(b"id3 ", b"ID3\4\0\0\0\0\0\x0a" + bytes(10)),
    "bext": chunk(b"bext", bytes(602)),
    "cue": chunk(b"cue ", struct.pack("<I", 1) + bytes(24)),
    "several": chunk(b"LIST", INFO, b"\0") + chunk(b"bext", bytes(602)) + chunk(b"cue ", bytes(4)),
    "ID3v1": TAG_1,
    "chunk and ID3v1": chunk(b"LIST", INFO, b"\0") + TAG_1,
    "ID3v2": b"ID3\4\0\0\0\0\1\0" + bytes(128),
    "APE": APE,
    "APE and ID3v1": APE + TAG_1,
    "Lyrics3": b"LYRICSBEGIN" + b"IND0000200" + b"000021LYRICS200" + TAG_1,
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("size", [None, 0, 44, UNKNOWN])
def test_chunks_and_tags_after_the_data_are_no_sound(tail, size):
    tagged = WAV + TAILS[tail]
    check(tagged if size is None else put(tagged, 40, size))


@pytest.mark.parametrize("size", [10, 11])
def test_chunks_nobody_knows_are_no_sound(size):
    assert not check(WAV + chunk(b"abcd", bytes(range(size)), bytes(size % 2)))


def test_zeros_after_the_data_are_left_out_and_said():
    (warning,) = check(WAV + bytes(192_000))
    assert warning == (
        "holds 1.0 s of zeros after the end that its header gives, which was left out"
    )


BROKEN_FMT = put(FMT, 10, 0, "<H")  # no channel
ODD, EVEN = chunk(b"LIST", INFO), chunk(b"LIST", INFO + b"\0")
ORDERS = {
    "fmt after data": (DATA, FMT),
    "fmt twice": (FMT, FMT, DATA),
    "another fmt after it": (FMT, put(FMT, 12, 8000), DATA),
    "a broken fmt before it": (BROKEN_FMT, FMT, DATA),
    "odd LIST": (FMT, chunk(b"LIST", INFO, b"\0"), DATA),
    "odd LIST without its pad byte": (FMT, ODD, DATA),
    "odd LIST first": (ODD, FMT, DATA),
    "even LIST with a pad byte": (FMT, EVEN + b"\0", DATA),
    "LIST that says it is endless": (FMT, put(EVEN, 4, UNKNOWN), DATA),
    "LIST that says it is short": (FMT, put(EVEN, 4, 10), DATA),
    "room for ds64": (chunk(b"JUNK", bytes(28)), FMT, DATA),
}


@pytest.mark.parametrize("order", ORDERS)
def test_chunks_in_any_order(order):
    assert not check(riff(*ORDERS[order]))


def test_several_data_chunks_follow_one_another():
    twice = np.concatenate([RIGHT, RIGHT])
    assert not check(riff(FMT, DATA, DATA), twice)
    assert not check(riff(FMT, DATA, EVEN, DATA, TAILS["cue"]), twice)


@pytest.mark.parametrize("block", [0, 1, 2, 3, 8, 65_535])
def test_wrong_block_align(block):
    assert not check(put(WAV, 32, block, "<H"))


@pytest.mark.parametrize("rate", [0, 1, UNKNOWN])
def test_wrong_byte_rate(rate):
    assert not check(put(WAV, 28, rate))


WHOLE = (SAMPLES.astype(np.float64) * 2**31).astype(np.int32)
UPPER = WHOLE >> 8 << 8


@pytest.mark.parametrize("values", [UPPER, WHOLE >> 8], ids=["upper bytes", "lower bytes"])
def test_24_bits_in_32(values):
    expected = (UPPER / 2**31).mean(axis=1)
    data = chunk(b"data", values.tobytes())
    check(riff(layout(1, RATE * 8, 8, 24), data), expected)
    rest = struct.pack("<HHIH", 22, 24, 3, 1) + GUID
    check(riff(layout(0xFFFE, RATE * 8, 8, 32, rest), data), expected)


@pytest.mark.parametrize("code,guid", [(1, GUID), (0, bytes(14)), (1, bytes(range(14)))])
def test_odd_guids(code, guid):
    rest = struct.pack("<HHIH", 22, 16, 3, code) + guid
    assert not check(riff(layout(0xFFFE, RATE * 4, 4, 16, rest), DATA))


CODECS = [
    ("PCM_U8", "FILE", 2), ("PCM_24", "FILE", 2), ("FLOAT", "FILE", 2), ("DOUBLE", "FILE", 2),
    ("ULAW", "FILE", 2), ("ALAW", "FILE", 2), ("IMA_ADPCM", "FILE", 2), ("MS_ADPCM", "FILE", 2),
    ("GSM610", "FILE", 1), ("G721_32", "FILE", 1), ("PCM_16", "BIG", 2), ("PCM_24", "BIG", 2),
    ("FLOAT", "BIG", 2), ("PCM_U8", "BIG", 2),
]  # fmt: skip


@pytest.mark.parametrize("subtype,endian,channels", CODECS)
@pytest.mark.parametrize("fault", ["none", 0, 4096, UNKNOWN, "ID3"])
def test_every_codec(subtype, endian, channels, fault):
    data = sound_file(SAMPLES[:, :channels], RATE, "WAV", subtype, endian)
    expected = as_libsndfile(data)
    if fault == "ID3":
        data = b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + data
    elif fault != "none":
        data = put(data, data.index(b"data") + 4, fault, ">I" if endian == "BIG" else "<I")
    check(data, expected)


def lies_of(form: str, subtype: str) -> list[bytes]:
    """A file with sizes as they are wrong where a pipe or a crash wrote it."""
    data = sound_file(SAMPLES, RATE, form, subtype)
    if form == "RF64":
        sizes = [(0, 0, 0), (2**64 - 1, 2**64 - 1, 0), (100, 44, 11), (0, 2**40, 0)]
        long = [put(put(put(data, 20, a, "<Q"), 28, b, "<Q"), 36, c, "<Q") for a, b, c in sizes]
        return [*long, *(b"BW64" + one[4:] for one in long)]
    if form == "W64":
        place = data.index(b"data\xf3\xac") + 16
        return [put(data, place, v, "<q") for v in (0, 24, 68, -1, 2**62, 2**40)]
    if form == "AIFF":
        place, frames = data.index(b"SSND") + 4, data.index(b"COMM") + 10
        cut = [put(data, place, v, ">I") for v in (0, 8, 52, UNKNOWN)]
        counted = [put(put(one, frames, 0, ">I"), 4, 0, ">I") for one in cut]
        return [*cut, *counted, *(put(data, frames, v, ">I") for v in (0, 10, UNKNOWN))]
    if form == "CAF":
        return [put(data, data.index(b"data") + 4, v, ">q") for v in (0, -1, 4, 48, 2**40)]
    return [put(data, 8, v, ">I") for v in (0, 44, 2**31, UNKNOWN)]


FORMS = [
    *(("RF64", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT")),
    *(("W64", subtype) for subtype in ("PCM_16", "FLOAT")),
    *(("AIFF", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "PCM_S8", "ULAW")),
    *(("CAF", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ALAW")),
    *(("AU", subtype) for subtype in ("PCM_16", "FLOAT", "PCM_S8", "ULAW")),
]


@pytest.mark.parametrize("form,subtype", FORMS)
def test_wrong_sizes_of_other_formats(form, subtype):
    expected = as_libsndfile(sound_file(SAMPLES, RATE, form, subtype))
    lies = lies_of(form, subtype)
    assert len(lies) >= 4
    for data in lies:
        check(data, expected)


@pytest.mark.slow
def test_a_size_that_wrapped_at_4_gib(tmp_path):
    path = tmp_path / "long.wav"
    rate, block, seconds = 400_000, 64, 168  # 16 channels of float: 4 GiB and 0.3 s more
    size = 2**32 + 128_000 * block
    with path.open("wb") as file:
        fields = struct.pack("<HHIIHH", 3, 16, rate, rate * block, block, 32)
        file.write(b"RIFF" + struct.pack("<I", size + 36 - 2**32) + b"WAVE")
        file.write(chunk(b"fmt ", fields) + b"data" + struct.pack("<I", size - 2**32))
        file.truncate(44 + size)
    samples, (warning,) = heard(path, start=seconds - 0.5, duration=0.2)
    assert len(samples) == RATE // 5 and "167.8 s of sound" in warning


def test_zeros_where_there_should_be_chunks():
    with pytest.raises(AudioError, match="holds no audio samples"):
        heard(riff(FMT) + bytes(20_000_000))


def test_a_chunk_of_negative_size_ends():
    data = sound_file(SAMPLES, RATE, "CAF")
    check(put(data, data.index(b"data") + 4, -3, ">q"), as_libsndfile(data))


def mono(code, bits, values) -> bytes:
    """A WAV file of one channel with samples as they are."""
    width = values.itemsize
    return riff(
        layout(code, RATE * width, width, bits, channels=1), chunk(b"data", values.tobytes())
    )


TONE = 0.5 * np.sin(np.arange(RATE) * 0.1)


@pytest.mark.parametrize("gain", [1e-3, 1.0, 4.0])
def test_floats_that_are_said_to_be_integers(gain):
    samples, warnings = heard(mono(1, 32, (gain * TONE).astype("<f4")))
    np.testing.assert_allclose(samples, TONE * min(gain, 2.0), atol=1e-6)
    assert warnings == ["holds floating-point samples, though its header says integers"]


@pytest.mark.parametrize("gain", [2.0**-23, 2.0**-10, 0.5, 2.0])
def test_integers_are_no_floats(gain):
    values = (gain * TONE * (2**31 - 1)).astype("<i4")
    samples, warnings = heard(mono(1, 32, values))
    np.testing.assert_allclose(samples, values / 2**31, atol=1e-6)
    assert warnings == []


def test_integers_of_64_bits():
    samples, _ = heard(mono(1, 64, (TONE * 2**62).astype("<i8")))
    np.testing.assert_allclose(samples, TONE / 2, atol=1e-6)


@pytest.mark.parametrize("bits,kind", [(16, "<f2"), (24, "u1")])
def test_short_floats_are_refused(bits, kind):
    values = TONE.astype(kind) if bits == 16 else np.zeros(3 * RATE, kind)
    data = riff(
        layout(3, RATE * bits // 8, bits // 8, bits, channels=1), chunk(b"data", values.tobytes())
    )
    with pytest.raises(AudioError, match=f"its samples are floats of {bits} bits"):
        heard(data)


@pytest.mark.parametrize("offset", [2**31, UNKNOWN, 192_000])
def test_an_aiff_offset_to_beyond_the_samples(offset):
    data = sound_file(SAMPLES, RATE, "AIFF")
    check(put(data, data.index(b"SSND") + 8, offset, ">I"), as_libsndfile(data))


PIPED = [
    *((container, "pcm_s16le") for container in ("w64", "wav", "caf")),
    *((container, "pcm_s16be") for container in ("aiff", "au")),
]


@pytest.mark.parametrize("container,codec", PIPED)
def test_what_ffmpeg_writes_into_a_pipe(container, codec):
    class Pipe(io.RawIOBase):
        written = b""

        def writable(self):
            return True

        def write(self, data):
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format=container) as output:
        sound = output.add_stream(codec, rate=RATE, layout="mono")
        for frame in encoder_frames(sound.codec_context, TONE[:, None], RATE, "mono"):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    samples, warnings = heard(pipe.written)
    np.testing.assert_allclose(samples, TONE, atol=2**-15)
    assert warnings == []


def test_a_layout_that_only_ffmpeg_knows_is_left_as_it_is(tmp_path):
    path = tmp_path / "sound.wav"
    write_av(path, "eac3", "wav", None, TONE[:, None], RATE)  # a GUID of its own
    samples, _ = heard(path)
    assert len(samples) == pytest.approx(RATE, abs=2 * 1536) and np.std(samples) > 0.3
