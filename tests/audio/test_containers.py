"""What holds its sound itself opens in every format; what points elsewhere opens nothing."""

import io
import json
import sys
import tarfile

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from av.format import ContainerFormat
from click.testing import CliRunner

from audiotag.audio.containers import ALLOWED
from audiotag.audio.in_memory import Sound
from audiotag.audio.streams import read, stream
from audiotag.cli import cli
from audiotag.errors import AudioError
from tests.support.audio_files import encoder_frames, sine
from tests.support.audioset_parquet import SCHEMA, clip
from tests.support.pointing_files import TEXTS, Bait, pointing_files

# Muxers whose files say what they are, or do so by their suffix, with a suffix.
MUXERS = dict(
    pair.split(":")
    for pair in (
        "3g2:3g2 3gp:3gp ac3:ac3 adts:aac adx:adx aiff:aiff alaw:al alp:pcm amr:amr apm:apm"
        " aptx:aptx aptx_hd:aptxhd argo_asf:asf ast:ast au:au avi:avi caf:caf daud:302 dfpwm:dfpwm"
        " dvd:vob eac3:eac3 f4v:f4v flac:flac flv:flv g722:g722 gxf:gxf ipod:m4a ircam:sf ismv:ismv"
        " kvag:vag latm:latm matroska:mkv mmf:mmf mov:mov mp2:mp2 mp3:mp3 mp4:mp4 mpeg:mpg"
        " mpegts:ts mulaw:ul mxf_opatom:mxf nut:nut oga:oga ogg:ogg ogv:ogv opus:opus rm:rm"
        " roq:roq rso:rso s16le:sw s8:sb smjpeg:smjpeg sox:sox spdif:spdif svcd:vob swf:swf tta:tta"
        " u16le:uw u8:ub vcd:vcd vob:vob voc:voc w64:w64 wav:wav webm:webm wsaud:aud wtv:wtv wv:wv"
    ).split()
)
CODECS = {"asf": "wmav2", "mxf": "pcm_s16le"}
FORMS = ((48_000, "mono"), (44_100, "stereo"), (8_000, "mono"), (22_050, "mono"))
NOT_ALLOWED = (
    "concat dash hls imf sdp rtsp rtp sap image2 image2pipe lavfi sbg mlv vobsub tee alsa oss pulse"
    " jack fbdev kmsgrab x11grab v4l2 video4linux2 avfoundation dshow gdigrab decklink libcdio"
    " openal dvdvideo bluray avisynth vapoursynth libgme libmodplug libopenmpt ffmetadata"
    " webm_dash_manifest data rawvideo tedcaptions srt webvtt ass png_pipe svg_pipe tty"
).split()


@pytest.mark.parametrize("muxer", MUXERS)
def test_every_format_opens(tmp_path, muxer):
    path = tmp_path / f"sound.{MUXERS[muxer]}"
    for rate, layout in FORMS:
        if write_as(path, muxer, rate, layout):
            break
    else:
        pytest.skip(f"this FFmpeg does not write {muxer}")
    samples = read(path, 16_000)
    assert 0.9 * 16_000 < len(samples) < 3.1 * 16_000
    assert np.abs(samples).max() > 0.1


def write_as(path, muxer, rate, layout) -> bool:
    """Write a second of sound in the muxer's own codec; False if it takes no such sound."""
    try:
        with av.open(str(path), "w", format=muxer) as output:
            added = output.add_stream(output.default_audio_codec, rate=rate, layout=layout)
            sound = sine(1.0, rate, 1 if layout == "mono" else 2)
            for frame in encoder_frames(added.codec_context, sound, rate, layout):
                output.mux(added.encode(frame))
            output.mux(added.encode(None))
    except (av.FFmpegError, ValueError):
        return False
    return True


def test_most_formats_are_tried():
    written = 0
    for muxer in MUXERS:
        try:
            written += bool(ContainerFormat(muxer, "w"))
        except ValueError:
            continue
    assert written > 50


def test_what_is_allowed_is_known_and_points_nowhere():
    assert ALLOWED.isdisjoint(NOT_ALLOWED)
    for name in ALLOWED:
        try:
            names = set(ContainerFormat(name, "r").name.split(","))
        except ValueError:
            continue  # another FFmpeg's
        assert names.isdisjoint(NOT_ALLOWED)


@pytest.fixture
def bait(tmp_path):
    if sys.platform != "linux":
        pytest.skip("watches as Linux does")
    made = Bait(tmp_path / "secret")
    yield made
    made.close()


def test_the_bait_notices(tmp_path, bait):
    """What is not guarded takes it."""
    assert not bait.taken()
    for name in ("concat", "hls", "hls of an address", "mov with alis"):
        path = tmp_path / "open.m3u8"
        path.write_bytes(pointing_files(bait)[name])
        bait.taken()  # writing it looks at it
        options = {
            "safe": "0",
            "protocol_whitelist": "file,http,tcp",
            "enable_drefs": "1",
            "use_absolute_path": "1",
            "allowed_extensions": "ALL",
            "extension_picky": "0",
            "rw_timeout": "100000",  # us
        }
        try:
            with av.open(f"file:{path}", options=options) as container:
                next(container.demux(), None)
        except av.FFmpegError:
            pass
        assert bait.taken(), name


@pytest.mark.parametrize("suffix", [".wav", ".m3u8", ".mp4", ".ffconcat", ".sdp", ""])
def test_files_open_nothing_else(tmp_path, bait, suffix):
    files = pointing_files(bait)
    assert len(files) == len(TEXTS) + 2
    bait.taken()
    for number, (name, data) in enumerate(files.items()):
        path = bait.file.parent / f"{number}{suffix}"  # where names lead to the bait too
        path.write_bytes(data)
        for source in (path, Sound("bytes", data)):
            try:
                samples = np.concatenate(list(stream(source, 32_000)))
            except AudioError as error:
                assert "cannot be decoded" in str(error) or name.startswith("mov")
            else:
                assert name.startswith("mov") and not samples.any()  # the silence it has itself
            assert not bait.taken(), name


def test_commands_open_nothing_else(tmp_path, bait, make_wav):
    folder = tmp_path / "sounds" / "label"
    make_wav(folder / "z.wav")
    files = pointing_files(bait)
    for name, data in files.items():
        (folder / f"{name}.wav").write_bytes(data)
    bait.taken()
    result = CliRunner().invoke(cli, ["tag", str(folder), "--format", "jsonl"])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(records) == len(files) + 1 and "tags" in records[-1]
    result = CliRunner().invoke(cli, ["prepare", "folder", str(folder.parent), str(tmp_path / "d")])
    assert result.exit_code == 0, result.output
    failures = (tmp_path / "d" / "failures.jsonl").read_text().splitlines()
    assert len(failures) == len(files)
    assert not bait.taken()


@pytest.mark.parametrize("archive", ["tar", "parquet"])
def test_clips_of_archives_open_nothing_else(tmp_path, bait, archive):
    files = pointing_files(bait)
    copy = tmp_path / "copy"
    good = clip(0)["audio"]["bytes"]
    if archive == "tar":
        place = copy / "20k" / "train" / "00.tar"
        place.parent.mkdir(parents=True)
        with tarfile.open(place, "w") as tar:
            for number, data in enumerate([*files.values(), good]):
                about = {"id": f"-{number:09d}_", "label": ["Speech"], "label_id": [0]}
                for suffix, content in ((".json", json.dumps(about).encode()), (".wav", data)):
                    member = tarfile.TarInfo(f"{number:09d}{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    else:
        place = copy / "data" / "bal_train" / "00.parquet"
        place.parent.mkdir(parents=True)
        rows = [clip(number, ["/m/09x0r"]) for number in range(len(files) + 1)]
        for row, data in zip(rows, files.values(), strict=False):
            row["audio"]["bytes"] = data
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), place)
    bait.taken()
    out = tmp_path / "data"
    result = CliRunner().invoke(cli, ["prepare", "audioset", str(copy), str(out)])
    assert result.exit_code == 0, result.output
    failures = (out / "failures.jsonl").read_text().splitlines()
    assert len(failures) == len(files)
    assert not bait.taken()
