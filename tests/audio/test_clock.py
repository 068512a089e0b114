"""Sounds are at their time: late starts and gaps are silent, clocks that jump are not."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from audiotag.audio.clock import DAY, JUMP, LONGEST, Clock
from audiotag.audio.sources import Listening
from tests.support.audio_files import add_picture, encoder_frames, mux_video, noise, sine, write_av
from tests.support.heard import RATE, heard

VIDEO = {
    ".mp4": ("mp4", "aac"), ".mov": ("mov", "pcm_s16le"), ".mkv": ("matroska", "libopus"),
    ".webm": ("webm", "libopus"), ".mts": ("mpegts", "mp2"), ".mpg": ("mpeg", "mp2"),
}  # fmt: skip
SECONDS = 2


def write_late(path, container, codec, shift, picture=True):
    """A tone whose packets come later: by `shift(second)` seconds, beside a picture."""
    with av.open(str(path), "w", format=container) as output:
        video = None
        if picture:
            video = add_picture(output, "libvpx" if container == "webm" else "mpeg4")
            if container == "mpeg":
                video.codec_context.framerate = Fraction(25)
        sound = output.add_stream(codec, rate=RATE, layout="mono")
        for frame in encoder_frames(sound.codec_context, sine(SECONDS, RATE), RATE, "mono"):
            mux_shifted(output, sound.encode(frame), shift)
        mux_shifted(output, sound.encode(None), shift)
        if video is not None:
            mux_video(output, video, 70)
    return path


def mux_shifted(output, packets, shift):
    for packet in packets:
        ticks = round(shift(float(packet.pts * packet.time_base)) / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        output.mux(packet)


def onset(samples):
    """Second at which a tone begins."""
    return int((np.abs(samples) > 0.1).argmax()) / RATE


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".mts"])
@pytest.mark.parametrize("late", [0.5, 3.0])
def test_audio_that_begins_after_the_picture(tmp_path, suffix, late):
    path = write_late(tmp_path / f"late{suffix}", *VIDEO[suffix], lambda _: late)
    samples, warnings = heard(path)
    assert onset(samples) == pytest.approx(late, abs=0.06)
    assert len(samples) / RATE == pytest.approx(late + SECONDS, abs=0.12)
    assert np.count_nonzero(samples[: round((late - 0.1) * RATE)]) == 0
    assert warnings == []
    for start in (0.2, late - 0.25, late + 0.5):
        part, _ = heard(path, start=start, duration=0.8)
        expected = samples[round(start * RATE) :][: len(part)]
        assert len(part) == round(0.8 * RATE)
        assert abs(onset(part) - onset(expected)) < 0.03
    before, _ = heard(path, start=0.1, duration=0.2)
    assert len(before) == RATE // 5 and not before.any()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".mts"])
def test_a_gap_between_packets(tmp_path, suffix):
    container, codec = VIDEO[suffix]
    codec = "aac" if suffix == ".mov" else codec  # libavformat writes no gap between PCM samples
    path = write_late(tmp_path / f"gap{suffix}", container, codec, lambda at: 1.5 * (at > 0.99))
    samples, warnings = heard(path)
    assert len(samples) / RATE == pytest.approx(SECONDS + 1.5, abs=0.12)
    assert not samples[round(1.2 * RATE) : round(2.3 * RATE)].any()
    assert samples[round(0.9 * RATE)] != 0 and onset(samples[round(1.2 * RATE) :]) > 1.1
    assert warnings == []


@pytest.mark.parametrize("suffix", [".m4a", ".mov"])
def test_an_edit_list_without_a_picture(tmp_path, suffix):
    container, codec = {".m4a": ("mp4", "aac"), ".mov": VIDEO[".mov"]}[suffix]
    path = write_late(tmp_path / f"late{suffix}", container, codec, lambda _: 2.0, picture=False)
    assert onset(heard(path)[0]) == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize("suffix", [".mkv", ".mts"])
def test_a_clock_that_begins_late_altogether(tmp_path, suffix):
    path = write_late(tmp_path / f"late{suffix}", *VIDEO[suffix], lambda _: 1000.0, picture=False)
    samples, _ = heard(path)
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.12) and onset(samples) < 0.06


@pytest.mark.parametrize("jump", [1e4, 1e6])
def test_a_jump_of_a_streams_clock_is_no_silence(tmp_path, jump):
    path = write_late(tmp_path / "jump.mts", *VIDEO[".mts"], lambda at: jump * (at > 0.99), False)
    samples, warnings = heard(path)
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.12)
    assert any("its clock jumps by" in warning for warning in warnings)


def passed(times, end=None, may_jump=False):
    """Silence before blocks of a second, by their times, and the warnings."""
    warnings: list[str] = []
    clock = Clock(end, may_jump, warnings.append)
    clock.begin(times[0], 0.0)
    silences = []
    for time, following in zip(times, [*times[1:], None], strict=True):
        silences.append(clock.silence(time, following) if clock.is_late(time) else 0.0)
        clock.passes(1.0)
    return silences, warnings


def test_what_is_silence():
    assert passed([0, 1.0, 2.05, 3.0]) == ([0, 0, 0, 0], [])  # rounded times
    assert passed([4.0, 5.0, 8.0, 9.0]) == ([4.0, 0, 2.0, 0], [])
    assert passed([0, 1.0, 500.0, 2.0, 3.0]) == ([0] * 5, [])  # one that is damaged
    assert passed([20.0, 21.0, 0.0, 1.0, 2.0], end=30.0) == ([20.0, 0, 0, 0, 0], [])  # began anew


@pytest.mark.parametrize(
    "end,may_jump,longest", [(None, False, LONGEST), (20.0, False, 18.0), (1e7, False, DAY),
                             (1e7, True, JUMP)]
)  # fmt: skip
def test_the_longest_silence(end, may_jump, longest):
    silences, warnings = passed([0, 1.0, 2 + longest, 3 + longest], end, may_jump)
    assert silences == [0, 0, longest, 0] and not warnings
    silences, warnings = passed([0, 1.0, 3 + longest, 4 + longest, 8 + longest], end, may_jump)
    assert silences[:4] == [0, 0, 0, 0] and len(warnings) == 1


def write_tracks(path, container, codec, gains):
    with av.open(str(path), "w", format=container) as output:
        tracks = [output.add_stream(codec, rate=RATE, layout="mono") for _ in gains]
        for track, gain in zip(tracks, gains, strict=True):
            for frame in encoder_frames(track.codec_context, gain * sine(1, RATE), RATE, "mono"):
                output.mux(track.encode(frame))
            output.mux(track.encode(None))
    return path


@pytest.mark.parametrize("container,codec", [("matroska", "ac3"), ("mp4", "aac"), ("mov", "aac")])
def test_a_silent_track_beside_one_that_is_not(tmp_path, container, codec):
    path = write_tracks(tmp_path / "tracks", container, codec, [0.0, 0.0, 1.0])
    samples, warnings = heard(path)
    assert np.abs(samples).max() < 1e-3
    assert warnings == [
        "its usual audio track is silent, and track 3 is not: choose that with --track 3"
    ]
    samples, warnings = heard(path, Listening(track=3))
    assert np.abs(samples).max() > 0.5 and warnings == []
    for gains in ([0.0, 0.0], [1.0, 0.0], [1.0, 1.0]):
        assert heard(write_tracks(path, container, codec, gains))[1] == []


@pytest.mark.parametrize("codec,rate", [("libopencore_amrnb", 8_000), ("adpcm_yamaha", 48_000)])
def test_avi_has_no_times_to_keep_to(tmp_path, codec, rate):
    """FFmpeg counts its blocks, wrongly where they are short."""
    path = tmp_path / "sound.avi"
    write_av(path, codec, "avi", None, sine(2, rate), rate)
    samples, warnings = heard(path)
    assert len(samples) / RATE == pytest.approx(2, abs=0.06) and warnings == []


def test_packets_that_cannot_be_decoded_are_said(tmp_path):
    path = tmp_path / "sound.mka"
    write_av(path, "aac", "matroska", None, sine(2, RATE), RATE)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in range(len(data) // 3, len(data) * 2 // 3, 200):
        data[place : place + 40] = rng.bytes(40)
    _, warnings = heard(bytes(data))
    assert any("packets cannot be decoded, and are not heard" in text for text in warnings)
    assert heard(path)[1] == []


CUT = [
    ("matroska", "flac"), ("webm", "libopus"), ("flac", "flac"), ("ogg", "flac"), ("mp4", "alac"),
]  # fmt: skip


@pytest.mark.parametrize("container,codec", CUT)
def test_a_recording_that_ends_before_its_header_says(tmp_path, container, codec):
    path = tmp_path / "sound.bin"
    options = {"movflags": "frag_keyframe+empty_moov"} if container == "mp4" else None
    write_av(path, codec, container, None, noise(5, RATE), RATE, options)
    whole, warnings = heard(path)
    assert len(whole) / RATE == pytest.approx(5, abs=0.05) and warnings == []
    if container in ("ogg", "mp4"):
        return  # these end where their last page or fragment does
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, warnings = heard(path)
    assert 2 < len(samples) / RATE < 3
    assert [text for text in warnings if "before its header says (5.0 s)" in text] == warnings != []


def with_edits(data: bytes, *edits: tuple[int, int]) -> bytes:
    """An MP4 file with other edits: milliseconds that each takes, and its first sample."""
    content = struct.pack(">II", 0, len(edits))
    content += b"".join(struct.pack(">IiI", *edit, 0x10000) for edit in edits)
    place = data.index(b"elst") - 4
    end = place + int.from_bytes(data[place : place + 4], "big")
    box = struct.pack(">I4s", 8 + len(content), b"elst") + content
    changed = bytearray(data)
    for name in (b"moov", b"trak", b"edts"):
        at = data.index(name) - 4
        size = int.from_bytes(data[at : at + 4], "big") + len(box) - (end - place)
        changed[at : at + 4] = size.to_bytes(4, "big")
    return bytes(changed[:place]) + box + bytes(changed[end:])


EDITS = {
    "all": ([(2000, 1024)], 0, 2), "a start that is cut": ([(1000, RATE + 1024)], 0, 1),
    "an end that is cut": ([(500, 1024)], 0, 0.5), "silence": ([(3000, -1), (2000, 1024)], 3, 5),
    "none": ([], 0, 2), "one that takes no time": ([(0, 1024)], 0, 2),
    "one from beyond the end": ([(2000, 100 * RATE)], 0, 2),
    "the same three times": ([(1000, 1024)] * 3, 0, 3),
}  # fmt: skip


@pytest.mark.parametrize("edits", EDITS)
def test_edit_lists(tmp_path, edits):
    path = tmp_path / "sound.m4a"
    write_av(path, "aac", "mp4", None, sine(2, RATE), RATE)
    entries, begin, end = EDITS[edits]
    samples, _ = heard(with_edits(path.read_bytes(), *entries))
    assert onset(samples) == pytest.approx(begin, abs=0.06)
    assert len(samples) / RATE == pytest.approx(end, abs=0.08)
