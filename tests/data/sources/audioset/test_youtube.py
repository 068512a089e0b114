"""Clips of AudioSet by the real yt-dlp, from a server on the loopback interface."""

import http.server
import io
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yt_dlp
from click.testing import CliRunner
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError

from audiotag.cli import cli
from audiotag.data.dataset import ClipDataset
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.audioset import youtube
from audiotag.data.sources.audioset.lists import listed_segments
from audiotag.data.sources.audioset.open import open_audioset
from audiotag.data.sources.audioset.segments import AudioSetSegment
from audiotag.data.sources.audioset.youtube import download, read_gone
from audiotag.errors import DataError
from tests.support.made_recordings import failures_of, rows_of

RATE, SECONDS = 8000, 6
NAMES = ("-00000000_a", "-00000000_b", "-00000000_c", "-00000000_d")


def video(name):
    """Samples of the sound of a video, another one for each id."""
    rng = np.random.default_rng(list(name.encode()))
    return (3000 * rng.standard_normal(SECONDS * RATE)).astype(np.int16)


def segment(name, start=2.0):
    return AudioSetSegment(name, start, start + 2, ("/m/04rlf",))


class Tube(http.server.ThreadingHTTPServer):
    """Serves a sound for any path.

    Attributes:
        faults: Statuses that each path is answered with first.
        asked: Path and cookies of each visit of yt-dlp itself; ffmpeg's have a range.
        stalled: Paths that are answered with the beginning of a sound, then nothing.
        stalling, released: Set when one is, and to end that.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults, self.asked, self.stalled = defaultdict(list), [], set()
        self.stalling, self.released = threading.Event(), threading.Event()
        self.page = f"http://127.0.0.1:{self.server_port}/{{id}}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def names(self):
        return [name for name, _ in self.asked]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, part = self.path[1:], self.headers.get("Range")
        if part is None:
            self.server.asked.append((name, self.headers.get("Cookie")))
            if self.server.faults[name]:
                self.send_error(self.server.faults[name].pop(0))
                return
        data = io.BytesIO()
        soundfile.write(data, video(name), RATE, format="WAV")
        first = int(part.removeprefix("bytes=").partition("-")[0]) if part else 0
        body = data.getvalue()[first:]
        self.send_response(206 if part else 200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        end = first + len(body)
        self.send_header("Content-Range", f"bytes {first}-{end - 1}/{end}")
        self.end_headers()
        try:
            if part and name in self.server.stalled:
                self.wfile.write(body[:100])
                self.server.stalling.set()
                self.server.released.wait(60)
            self.wfile.write(body)
        except OSError:
            pass  # ffmpeg has what it wants

    def log_message(self, *_):
        pass


@pytest.fixture
def tube():
    with Tube() as server:
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture
def fetch(tube, tmp_path):
    """Downloads into a folder, without waiting."""
    return partial(download, folder=tmp_path / "audio", page=tube.page, pause=0.0, wait=0.0)


def test_only_the_clips_seconds_come_and_become_a_data_set(tube, fetch, tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    (folder / "eval_segments.csv").write_text(
        f'# x\n{NAMES[0]}, 1.000, 3.000, "/m/04rlf"\n{NAMES[1]}, 4.000, 6.000, "/m/09x0r"\n'
        f'{NAMES[2]}, 0.000, 2.000, "/m/09x0r"\n'
    )
    tube.faults[NAMES[2]] = [404]
    fetch(segment for _, segment in listed_segments(folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{NAMES[0]}_1.000_3.000.wav",
        f"{NAMES[1]}_4.000_6.000.wav",
        "eval_segments.csv",
        "failures.jsonl",
    ]
    out = prepare(open_audioset(folder), tmp_path / "data", RATE)
    assert {row["key"]: row["labels"] for row in rows_of(out)} == {
        NAMES[0]: ["Music"],
        NAMES[1]: ["Speech"],
    }
    clips = ClipDataset(out)
    for number, start in enumerate((1, 4)):
        expected = video(str(clips.keys[number]))[start * RATE : (start + 2) * RATE]
        samples = clips.read(number)
        assert abs(len(samples) - len(expected)) <= 4096  # a packet of the wav file
        shifted = (expected[lag : lag + 8000] for lag in range(4097))
        assert any(np.abs(samples[2000:4000].astype(int) - x[2000:4000]).max() < 3 for x in shifted)
    (failure,) = failures_of(out)
    assert (failure["source"], failure["kind"]) == (NAMES[2], "gone")
    assert "404" in failure["reason"]


def test_faults_that_pass_are_tried_again(tube, fetch, tmp_path):
    tube.faults[NAMES[0]] = [503, 429, 500]
    fetch([segment(NAMES[0])])
    assert tube.names == [NAMES[0]] * 4
    assert (tmp_path / "audio" / f"{NAMES[0]}_2.000_4.000.wav").exists()


def test_the_gone_are_recorded_and_asked_for_again_only_when_told(tube, fetch, tmp_path):
    tube.faults[NAMES[0]] = [410]
    fetch([segment(NAMES[0]), segment(NAMES[1])])
    assert "HTTP Error 410" in read_gone(tmp_path / "audio")[NAMES[0]]
    tube.asked.clear()
    reports = []
    fetch([segment(NAMES[0]), segment(NAMES[1]), segment(NAMES[2])], report=reports.append)
    assert tube.names == [NAMES[2]]
    (report,) = reports
    assert (report.before, report.recordings, report.total, report.clips) == (2, 3, 3, 1)
    fetch([segment(NAMES[0]), segment(NAMES[1])], again=True)
    assert tube.names == [NAMES[2], NAMES[0]]


def test_what_is_refused_is_no_clip_that_is_gone(tube, fetch, tmp_path):
    tube.faults[NAMES[0]] = [503] * 4
    with pytest.raises(DataError, match=r"1 clips could not .*HTTP Error 503.* --cookies") as found:
        fetch(map(segment, NAMES[:2]))
    assert "\n" not in str(found.value)
    assert (tmp_path / "audio" / f"{NAMES[1]}_2.000_4.000.wav").exists()
    assert not read_gone(tmp_path / "audio")
    tube.asked.clear()
    fetch(map(segment, NAMES[:2]))
    assert tube.names == [NAMES[0]]


def test_many_refusals_in_a_row_end_the_run(tube, fetch, monkeypatch):
    monkeypatch.setattr(youtube, "REFUSALS", 3)
    monkeypatch.setattr(youtube, "RETRIES", 0)
    names = [f"-0000000{number:02d}_" for number in range(30)]
    for name in names:
        tube.faults[name] = [429]
    with pytest.raises(DataError, match="3 clips could not be downloaded"):
        fetch(map(segment, names), downloads=1)
    assert len(tube.names) < 15


def test_an_interrupted_run_does_not_wait(tube, fetch):
    tube.faults[NAMES[0]] = [503] * 9

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch([segment(NAMES[1]), segment(NAMES[0])], report=interrupt, wait=1000.0)
    assert tube.names.count(NAMES[0]) <= 1


def test_videos_are_asked_for_one_after_the_other(tube, fetch, monkeypatch):
    slept = []
    monkeypatch.setattr(youtube, "time", SimpleNamespace(monotonic=lambda: 100.0))  # stands still
    monkeypatch.setattr(youtube._Fetcher, "_sleep", lambda self, seconds: slept.append(seconds))
    tube.faults[NAMES[1]] = [503, 503]
    fetch(map(segment, NAMES[:3]), pause=3.0, wait=0.5, downloads=1)
    assert tube.names == [NAMES[0], *[NAMES[1]] * 3, NAMES[2]]
    assert slept == [0, 3, 0.5, 6, 1, 9, 12]  # the halves before another try


def test_cookies_are_sent_and_their_file_left_alone(tube, fetch, tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_text(
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t2999999999\tmember\tme\n"
    )
    before = path.read_bytes()
    fetch([segment(NAMES[0])], cookies=path)
    assert [cookies for _, cookies in tube.asked] == ["member=me"]
    assert path.read_bytes() == before
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="cookies.txt cannot be read"):
        fetch([segment(NAMES[1])], cookies=path)


@pytest.mark.slow
def test_a_killed_run_goes_on(tube, fetch, tmp_path):
    folder = tmp_path / "audio"
    tube.stalled.add(NAMES[1])
    code = (
        "import sys; from pathlib import Path\n"
        "from audiotag.data.sources.audioset.segments import AudioSetSegment\n"
        "from audiotag.data.sources.audioset.youtube import download\n"
        "clips = [AudioSetSegment(name, 2.0, 4.0, ()) for name in sys.argv[3:]]\n"
        "download(clips, Path(sys.argv[1]), page=sys.argv[2], pause=0, downloads=1)\n"
    )
    words = [sys.executable, "-c", code, str(folder), tube.page, *NAMES[:3]]
    process = subprocess.Popen(words)
    assert tube.stalling.wait(60)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (folder / f"{NAMES[1]}_2.000_4.000.wav").exists()
    orphan = (folder / f"{NAMES[1]}_2.000_4.000.wav.part").open("wb", buffering=0)  # an ffmpeg's
    first = (folder / f"{NAMES[0]}_2.000_4.000.wav").read_bytes()
    (folder / "failures.jsonl").write_text('{"source": "-00000000_c", "reas')  # cut off
    tube.stalled.clear()
    tube.faults[NAMES[2]] = [404]
    tube.asked.clear()
    fetch(map(segment, NAMES[:3]))
    orphan.write(bytes(100_000))
    orphan.close()
    assert sorted(tube.names) == [NAMES[1], NAMES[2]]
    assert list(read_gone(folder)) == [NAMES[2]]
    sounds = [soundfile.info(path).duration for path in sorted(folder.glob("*.wav"))]
    assert len(sounds) == 2 and sounds == pytest.approx([2, 2], abs=0.6)
    assert (folder / f"{NAMES[0]}_2.000_4.000.wav").read_bytes() == first


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (ExtractorError("Video unavailable", expected=True), True),
        (ExtractorError("Private video. Sign in if you may see it", expected=True), True),
        (GeoRestrictedError("not available from your location"), True),
        (ExtractorError("Sign in to confirm you’re not a bot", expected=True), False),
        (ExtractorError("This content isn't available, try again later", expected=True), False),
        (ExtractorError("a field is not there"), False),
        (yt_dlp.networking.exceptions.TransportError("timed out"), False),
    ],
)
def test_what_is_gone_is_told_from_what_is_refused(error, gone):
    assert youtube._is_gone(DownloadError("x", (type(error), error, None))) is gone


def test_command(tube, tmp_path, monkeypatch):
    monkeypatch.setattr(youtube, "download", partial(download, page=tube.page))
    lines = "".join(f'{name}, 0.000, 2.000, "/m/04rlf"\n' for name in NAMES)
    (tmp_path / "balanced_train_segments.csv").write_text(f"# x\n{lines}")
    words = ["prepare", "youtube", str(tmp_path / "audio"), "--pause", "0"]
    shares = ["--num-shards", "2", "--shard-index", "1"]
    result = CliRunner().invoke(cli, [*words, *shares, "--limit", "2", "--class", "Music"])
    assert result.exit_code == 0, result.output
    assert set(tube.names) == {NAMES[1]} and "1 of 1 recordings, 1 clips" in result.output
    result = CliRunner().invoke(cli, [*words, "--class", "Dogs"])
    assert result.exit_code == 1 and "did you mean Dog" in str(result.exception)
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    result = CliRunner().invoke(cli, words)
    assert "pip install 'audiotag-dcls[youtube]'" in str(result.exception)
