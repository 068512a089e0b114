"""AudioSet's clips from YouTube by yt-dlp: only the clip's seconds of each video, at a slow pace.

A clip becomes the file `<id>_<start>_<end>.<suffix>`, in YouTube's encoding; it gets this name when
it is complete. `failures.jsonl` beside the clips lists those that are gone from YouTube.
"""

import io
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from audiotag.data.progress import PreparationState
from audiotag.data.recordings import Failure
from audiotag.data.shards import FAILURES_FILE, REMEDY
from audiotag.data.sources.audioset.named_files import files_by_id, fitting
from audiotag.data.sources.audioset.segments import ID_LENGTH, AudioSetSegment
from audiotag.errors import DataError
from audiotag.runtime.files import appended, make_folder
from audiotag.runtime.ordered_threads import work_ahead

PAGE = "https://www.youtube.com/watch?v={id}"
GONE = "gone"  # the kind of failure
PAUSE = 1.0  # s from one video to the next
RETRIES, WAIT = 3, 5.0  # of a clip; s before the first one, doubled each time
REFUSALS = 10  # clips in a row, after which the run stops: the cause is not the clips
TIMEOUT = 30.0  # s that a server may be silent
DOWNLOADS = 4  # at once
GONE_STATUS = (404, 410)
# Words in errors that are about the client, not about the video.
REFUSED = re.compile(r"not a bot|rate-limited|try again later|too many requests", re.IGNORECASE)
# Text that yt-dlp adds to a reason: colours, "ERROR:", the exception, how to report a bug.
NOISE = re.compile(r"\x1b\[[0-9;]*m|^ERROR: | \(caused by .*|; please report .*", re.DOTALL)


@dataclass(frozen=True)
class _Outcome:
    """The outcome for a clip; if it was not downloaded, why, and whether it is gone for good."""

    id: str
    reason: str | None = None
    is_gone: bool = False

    @property
    def is_refused(self) -> bool:
        return self.reason is not None and not self.is_gone


def download(
    segments: Iterable[AudioSetSegment],
    folder: Path,
    cookies: Path | None = None,
    pause: float = PAUSE,
    downloads: int = DOWNLOADS,
    again: bool = False,
    report: Callable[[PreparationState], None] = lambda progress: None,
    page: str = PAGE,
    wait: float = WAIT,
) -> None:
    """Download the clips that a folder lacks.

    Args:
        segments: The clips.
        folder: Where they go; clips that it already has are found as in `open_audioset`.
        cookies: A file in Netscape's format, as browsers' extensions export it; only read.
        pause: Seconds from one video to the next.
        downloads: How many are downloaded at once.
        again: Also try clips again that were gone.
        report: Called after each clip.
        page: Address of a video, with `{id}`.
        wait: Seconds before a clip is tried again, doubled each time.

    Raises:
        DataError: If yt-dlp or ffmpeg is not installed, a file cannot be read, or clips could not
            be downloaded for a reason that may pass: a later call tries them again.
        OutputError: If a file cannot be written.
    """
    yt_dlp = _yt_dlp()
    make_folder(folder, REMEDY)
    gone = set() if again else read_gone(folder).keys()
    files, wanted = files_by_id(folder), list(segments)
    missing = [
        segment
        for segment in wanted
        if segment.id not in gone and fitting(files.get(segment.id, ()), segment) is None
    ]
    _remove_partial(folder, {segment.id for segment in missing})
    fetcher = _Fetcher(yt_dlp, folder, _text(cookies), _Pace(pause), threading.Event(), page, wait)
    refused: list[str] = []
    with _ffmpeg():
        for progress, outcome in _outcomes(fetcher, missing, len(wanted), downloads):
            if outcome.is_refused:
                refused.append(str(outcome.reason))
            elif outcome.reason is not None:
                _record(folder, Failure(outcome.id, outcome.reason, GONE))
            report(progress)
    if refused:
        raise DataError(
            f"{len(refused):,} clips could not be downloaded (the last: {refused[-1]}); run the "
            "same command again later, slower with --pause, or signed in with --cookies"
        )


def _outcomes(
    fetcher: "_Fetcher", missing: list[AudioSetSegment], total: int, downloads: int
) -> Iterator[tuple[PreparationState, _Outcome]]:
    """The outcome for each clip, and the progress after it; stops when all are refused."""
    before = total - len(missing)
    failures = in_a_row = 0
    outcomes = work_ahead(fetcher.outcomes, missing, downloads, fetcher.stopped)
    with closing(outcomes):
        for done, outcome in enumerate(outcomes, 1):
            failures += outcome.reason is not None
            yield PreparationState(before, before + done, total, done - failures, failures), outcome
            in_a_row = in_a_row + 1 if outcome.is_refused else 0
            if in_a_row == REFUSALS:
                break


def _remove_partial(folder: Path, ids: Collection[str]) -> None:
    """Remove the unfinished clips of a killed run; if its ffmpeg still runs, that does no harm."""
    for path in folder.glob("*.part"):
        if path.name[:ID_LENGTH] in ids:
            path.unlink(missing_ok=True)


def read_gone(folder: Path) -> dict[str, str]:
    """Why clips are gone from YouTube, by id."""
    found: dict[str, str] = {}
    path = folder / FAILURES_FILE
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.split("\n"):
        try:
            values = json.loads(line)
            found[values["source"]] = values["reason"]
        except (ValueError, KeyError, TypeError):
            continue  # incomplete after a kill or on a full disk: the clip is tried again
    return found


def _record(folder: Path, failure: Failure) -> None:
    path = folder / FAILURES_FILE
    line = json.dumps(asdict(failure), ensure_ascii=False).encode() + b"\n"
    with appended(path, REMEDY) as file:
        file.write(b"\n" + line if _is_torn(path) else line)


def _is_torn(path: Path) -> bool:
    """Whether the last line of a file is incomplete, after a kill or on a full disk."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        return size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"


class _Pace:
    """Gives threads their turns, `pause` seconds apart."""

    def __init__(self, pause: float) -> None:
        self._pause, self._next, self._lock = pause, 0.0, threading.Lock()

    def seconds(self) -> float:
        """Seconds until this thread's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._pause
        return turn - now


@dataclass(frozen=True)
class _Fetcher:
    """Downloads clips, each with several attempts if needed; in any thread."""

    yt_dlp: ModuleType
    folder: Path
    cookies: str | None
    pace: _Pace
    stopped: threading.Event
    page: str
    wait: float

    def outcomes(self, segment: AudioSetSegment) -> Iterator[_Outcome]:
        """The outcome for a clip; none if the run is stopped."""
        for attempt in range(RETRIES + 1):
            if attempt:
                self._sleep(self.wait * 2 ** (attempt - 1))
            self._sleep(self.pace.seconds())
            if self.stopped.is_set():
                return
            outcome = self._try(segment)
            if not outcome.is_refused:
                break
        yield outcome

    def _sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def _try(self, segment: AudioSetSegment) -> _Outcome:
        options = {
            "format": "bestaudio/best",
            "paths": {"home": str(self.folder)},
            "outtmpl": f"{segment.id}_{segment.start:.3f}_{segment.end:.3f}.%(ext)s",
            "download_ranges": self.yt_dlp.utils.download_range_func(
                None, [(segment.start, segment.end)]
            ),
            "cookiefile": None if self.cookies is None else io.StringIO(self.cookies),
            "socket_timeout": TIMEOUT,
            "noplaylist": True,
            "fixup": "never",
            "quiet": True,
            "noprogress": True,
            "logger": _NoLog(),
        }
        try:
            with self.yt_dlp.YoutubeDL(options) as client:
                client.download([self.page.format(id=segment.id)])
        except self.yt_dlp.utils.DownloadError as error:
            return _Outcome(segment.id, NOISE.sub("", str(error)).strip(), _is_gone(error))
        return _Outcome(segment.id)


class _NoLog:
    """A logger that drops yt-dlp's messages; its errors are raised as well."""

    def debug(self, message: str) -> None:
        """Drop a message."""

    warning = error = debug


def _is_gone(error: Any) -> bool:
    """Whether yt-dlp's error says that the video is gone for good."""
    from yt_dlp.networking.exceptions import HTTPError
    from yt_dlp.utils import ExtractorError

    found = error.exc_info[1] if error.exc_info else None
    if isinstance(found, HTTPError):
        return found.status in GONE_STATUS
    return isinstance(found, ExtractorError) and found.expected and not REFUSED.search(str(found))


def _text(cookies: Path | None) -> str | None:
    """The text of a cookie file; yt-dlp gets a copy, as it would write into the file."""
    try:
        return None if cookies is None else cookies.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{cookies} cannot be read ({error}); export the cookies again") from error


def _yt_dlp() -> ModuleType:
    try:
        import yt_dlp
    except ImportError as error:
        raise DataError(
            "YouTube needs yt-dlp; install it with: pip install 'audiotag-dcls[youtube]'"
        ) from error
    return yt_dlp


@contextmanager
def _ffmpeg() -> Iterator[None]:
    """A context with an ffmpeg on the search path, where yt-dlp looks for it."""
    if shutil.which("ffmpeg"):
        yield
        return
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise DataError(
            "cutting YouTube's videos needs ffmpeg; install it with your system, or with: "
            "pip install imageio-ffmpeg"
        ) from error
    before = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as place:
        os.symlink(imageio_ffmpeg.get_ffmpeg_exe(), Path(place) / "ffmpeg")
        os.environ["PATH"] = f"{place}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before
