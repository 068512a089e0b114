"""Of B-format only the channel with sound from everywhere is heard, however the file says so."""

import struct

import numpy as np
import pytest
import soundfile

from tests.support.audio_files import encoder_frames, sine
from tests.support.heard import RATE, heard

av = pytest.importorskip("av")
TONES = [0.3 * sine(1, RATE, frequency=hertz)[:, 0] for hertz in (440, 1000, 1500, 2500)]
W, FIELD = TONES[0], np.column_stack(TONES)  # (T, 4)
GUID = bytes.fromhex("0000 2107d3118644c8c1ca000000")


def agrees(source, expected):
    samples, warnings = heard(source)
    likeness = np.corrcoef(samples[:RATE], expected)[0, 1]
    return warnings == [] and likeness > 0.97 and np.std(samples) > 0.9 * np.std(expected)


@pytest.mark.parametrize("name,expected", [("f.amb", W), ("f.AMB", W), ("f.wav", FIELD.mean(1))])
def test_by_name(tmp_path, name, expected):
    path = tmp_path / name
    soundfile.write(path, FIELD, RATE, "PCM_24", format="WAV")
    assert agrees(path, expected)


@pytest.mark.parametrize("channels", [3, 4, 9])
@pytest.mark.parametrize("code,width", [(1, 2), (3, 4)])
def test_by_content(channels, code, width):
    field = np.resize(FIELD.T, (channels, RATE)).T
    values = (field * 32_767).astype("<i2") if width == 2 else field.astype("<f4")
    block = channels * width
    fields = struct.pack("<HHIIHH", 0xFFFE, channels, RATE, RATE * block, block, 8 * width)
    fields += struct.pack("<HHIH", 22, 8 * width, 0, code) + GUID
    body = b"WAVEfmt " + struct.pack("<I", len(fields)) + fields
    body += b"data" + struct.pack("<I", values.nbytes) + values.tobytes()
    assert agrees(b"RIFF" + struct.pack("<I", len(body)) + body, W)


def spatial(data: bytes, entry: bytes) -> bytes:
    """An MP4 file with YouTube's box for the first order at the end of its sample entry."""
    box = struct.pack(">BBIBBI4I", 0, 0, 1, 0, 0, 4, *range(4))
    box = struct.pack(">I4s", 8 + len(box), b"SA3D") + box
    place = data.index(entry, data.index(b"stsd")) - 4
    end = place + int.from_bytes(data[place : place + 4], "big")
    changed = bytearray(data)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry):
        at = data.index(name, 0 if name != entry else place) - 4
        size = int.from_bytes(data[at : at + 4], "big") + len(box)
        changed[at : at + 4] = size.to_bytes(4, "big")
    return bytes(changed[:end]) + box + bytes(changed[end:])


@pytest.mark.parametrize(
    "container,codec,entry", [("mp4", "aac", b"mp4a"), ("mov", "pcm_s16le", b"sowt")]
)
def test_youtubes_box(tmp_path, container, codec, entry):
    path = tmp_path / "field.mp4"
    with av.open(str(path), "w", format=container) as output:
        sound = output.add_stream(codec, rate=RATE, layout="4.0")
        sound.bit_rate = 512_000
        for frame in encoder_frames(sound.codec_context, FIELD, RATE, "4.0"):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    plain = path.read_bytes()
    assert agrees(plain, FIELD.mean(1)) and not agrees(plain, W)
    assert agrees(spatial(plain, entry), W)
