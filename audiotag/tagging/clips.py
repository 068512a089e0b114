"""Clips: the sounds that were found, cut out of their recordings into a folder for each label.

The folders are those that `audiotag prepare folder` takes.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import soundfile

from audiotag.audio.excerpts import Excerpt, excerpt
from audiotag.audio.sources import USUAL, Listening
from audiotag.errors import AudioError, DataError, OutputError
from audiotag.runtime.files import replaced
from audiotag.runtime.lock import locked_folder
from audiotag.tagging.stored_results import Found, StoredFile, read_results

NOT_IN_NAMES = re.compile(r"[^\w ,()'.-]+")
LONGEST_NAME = 150  # characters of a recording's name in that of a clip
FORMATS = ("flac", "wav")
NAMED = 8  # labels in a message


@dataclass(frozen=True)
class ClipOptions:
    """What is cut out, and how.

    Attributes:
        labels: Only these; all if empty.
        least_score: Only what has at least this score.
        padding: Seconds before and after.
        most: Clips of a label at most, those with the highest scores; None for all.
        format: One of `FORMATS`.
        listening: The track and channel, if not all channels of the usual track.
    """

    labels: frozenset[str] = frozenset()
    least_score: float = 0.0
    padding: float = 0.0
    most: int | None = None
    format: str = "flac"
    listening: Listening = USUAL


@dataclass(frozen=True)
class Clip:
    """A clip that was written, or why it was not.

    Attributes:
        path: The clip.
        error: Why it could not be cut; None if it could.
    """

    path: Path
    error: str | None = None


def cut_clips(
    results: Path, out: Path, options: ClipOptions, progress: Callable[[int], None] | None = None
) -> Iterator[Clip]:
    """Cut out what stored results found. A clip that is there already is left as it is.

    Args:
        results: As of `read_results`. Relative paths in it start in the current folder.
        out: The folder for the folders.
        options: What is cut out.
        progress: Called with how many are to be cut.

    Raises:
        DataError: As `read_results`; or if there is nothing to cut, or no times.
        OutputError: A clip cannot be written.
    """
    wanted = _wanted(read_results(results), options, results)
    if progress is not None:
        progress(len(wanted))
    held = f"another process cuts clips into {out}; wait for it, or choose another folder"
    with locked_folder(out, held):
        for file, found in wanted:
            yield _cut(file, found, out, options)


def _wanted(
    stored: Iterator[StoredFile], options: ClipOptions, results: Path
) -> list[tuple[StoredFile, Found]]:
    """What is to be cut out, in the order of the results."""
    wanted: list[tuple[StoredFile, Found]] = []
    is_timed, known = True, Counter[str]()
    for file in stored:
        for found in file.found:
            known[found.label] += 1
            is_meant = not options.labels or found.label in options.labels
            if is_meant and found.score >= options.least_score:
                is_timed &= found.start is not None and found.end is not None
                wanted.append((file, found))
    if not wanted:
        commonest = ", ".join(label for label, _ in known.most_common(NAMED)) or "none"
        raise DataError(f"{results} has no such sound; the commonest labels in it: {commonest}")
    if not is_timed:
        raise DataError(
            f"{results} does not say when its sounds are; tag again with --events or --timeline"
        )
    if options.most is None:
        return wanted
    best = sorted(range(len(wanted)), key=lambda i: -wanted[i][1].score)
    count, kept = Counter[str](), set[int]()
    for i in best:
        label = wanted[i][1].label
        count[label] += 1
        kept |= {i} if count[label] <= options.most else set()
    return [pair for i, pair in enumerate(wanted) if i in kept]


def _cut(file: StoredFile, found: Found, out: Path, options: ClipOptions) -> Clip:
    assert found.start is not None and found.end is not None
    path = Path(file.path)
    start, end = max(0.0, found.start - options.padding), found.end + options.padding
    target = out / _named(found.label) / f"{_named(path.stem)[:LONGEST_NAME]}"
    target = target.with_name(f"{target.name} {start:09.3f}-{end:09.3f}.{options.format}")
    if target.exists():
        return Clip(target)
    try:
        part = excerpt(path, start, end, options.listening, file.duration)
    except AudioError as error:
        return Clip(target, str(error))
    content = io.BytesIO()  # an error of the disk must not pass through libsndfile
    form = options.format
    soundfile.write(content, part.samples, part.rate, _subtype(part, form), format=form)
    try:
        with replaced(target, sync=False) as written:
            written.write(content.getbuffer())
    except OutputError:
        with suppress(OSError):  # it holds other clips
            target.parent.rmdir()
        raise
    return Clip(target)


def _subtype(part: Excerpt, form: str) -> str:
    if part.is_float and form == "wav":
        return "FLOAT"
    bits = 24 if part.is_float else part.bits
    return {8: "PCM_S8" if form == "flac" else "PCM_U8"}.get(bits, f"PCM_{bits}")


def _named(text: str) -> str:
    """A text as a part of a file's name."""
    return NOT_IN_NAMES.sub("_", text).strip(". ") or "_"
