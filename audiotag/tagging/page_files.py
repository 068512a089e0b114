"""What a page shows besides text: a picture of each recording, and a preview of those that browsers
do not play. Small pictures lie in the page itself; the rest in a folder beside it."""

import base64
import hashlib
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from audiotag.audio.sources import Listening
from audiotag.audio.streams import stream
from audiotag.errors import AudioError, OutputError
from audiotag.features.spectrogram import LEVELS, Spectrogram
from audiotag.runtime.files import replaced
from audiotag.runtime.png import to_png
from audiotag.tagging.output import REMEDY
from audiotag.tagging.results import FileTags, rounded_time

INLINED = 8_000_000  # bytes of pictures in a page; those after them are files of their own
PLAYED = frozenset(  # suffixes of what Chromium, Firefox and Safari play
    ".wav .wave .mp3 .m4a .m4b .mp4 .m4v .aac .flac .ogg .oga .opus .webm .weba".split()
)
PREVIEW_RATE = 32_000  # Hz
FOLDER_ENDING = "_files"  # as browsers name the folder beside a page that they save
NAME_DIGITS = 16
# From silence to the loudest, as (red, green, blue); the colours between are mixed.
COLOURS = ((8, 6, 26), (60, 15, 90), (140, 30, 110), (215, 70, 75), (250, 145, 65), (252, 230, 160))
logger = logging.getLogger(__name__)


class PageFiles:
    """Makes the pictures and previews of a page.

    Args:
        folder: Where those that do not lie in the page go; None if they cannot.
        listening: How a preview is made; None for no previews.
    """

    def __init__(self, folder: Path | None = None, listening: Listening | None = None) -> None:
        self._folder, self._listening = folder, listening
        self._left = INLINED

    def of(self, result: FileTags) -> dict[str, Any]:
        """Links to a recording's picture and preview, where it has them, and the seconds that the
        picture covers.

        Raises:
            OutputError: If a file cannot be written.
        """
        return self._picture(result) | self._preview(result)

    def _picture(self, result: FileTags) -> dict[str, Any]:
        spectrogram = result.spectrogram
        if spectrogram is None:
            return {}
        data = to_png(spectrogram.levels[::-1], palette())
        if len(data) <= self._left or self._folder is None:
            self._left -= len(data)
            link = "data:image/png;base64," + base64.b64encode(data).decode()
        else:
            path = self._place(self._folder, result.path, ".png")
            with replaced(path, REMEDY, sync=False) as file:
                file.write(data)
            link = _link(path)
        return {"picture": link, "pictured": rounded_time(_seconds(spectrogram))}

    def _preview(self, result: FileTags) -> dict[str, Any]:
        source = Path(result.path)
        if self._folder is None or self._listening is None or source.suffix.lower() in PLAYED:
            return {}
        if not source.is_file():
            return {}
        path = self._place(self._folder, result.path, ".flac")
        try:
            _convert(source, path, self._listening)
        except AudioError as error:
            logger.warning("%s has no preview: %s", path.name, error)
            return {}
        return {"preview": _link(path)}

    @staticmethod
    def _place(folder: Path, source: str, suffix: str) -> Path:
        digest = hashlib.sha256(os.fsencode(source)).hexdigest()[:NAME_DIGITS]
        return folder / f"{digest}{suffix}"


def folder_beside(page: Path) -> Path:
    """The folder for what does not fit into a page."""
    return page.with_name(page.stem + FOLDER_ENDING)


@lru_cache
def palette() -> np.ndarray:
    """Colours of the levels of a spectrogram (LEVELS, 3) uint8."""
    places = np.linspace(0, len(COLOURS) - 1, LEVELS)
    mixed = [np.interp(places, range(len(COLOURS)), channel) for channel in np.array(COLOURS).T]
    return np.rint(np.stack(mixed, axis=1)).astype(np.uint8)


def _seconds(spectrogram: Spectrogram) -> float:
    return spectrogram.levels.shape[1] * spectrogram.step


def _link(path: Path) -> str:
    """A link from the page beside the file's folder."""
    return quote(os.fsencode(f"{path.parent.name}/{path.name}"))


def _convert(source: Path, target: Path, listening: Listening) -> None:
    """Write a recording as a FLAC file, mono: MP3 is a quarter as large, but takes fifteen times as
    long, which is longer than tagging.

    Raises:
        AudioError: If it cannot be decoded.
        OutputError: If the file cannot be written.
    """
    import soundfile

    blocks = stream(source, PREVIEW_RATE, listening=listening)
    with replaced(target, REMEDY, sync=False) as file:
        try:
            with soundfile.SoundFile(
                file.fileno(), "w", PREVIEW_RATE, 1, "PCM_16", format="FLAC", closefd=False
            ) as sound:
                for block in blocks:
                    sound.write(block)
        except soundfile.LibsndfileError as error:
            raise OutputError(f"{target} cannot be written ({error}); {REMEDY}") from error
