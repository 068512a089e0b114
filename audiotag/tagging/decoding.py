"""Decoding for tagging: a recording's windows, and what else is told of it on the way."""

import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio import streams
from audiotag.audio.helper_process import Ending, Warn
from audiotag.audio.in_memory import Input
from audiotag.audio.sources import Listening
from audiotag.audio.windows import Window, surrounded_windows, windows
from audiotag.features.spectrogram import Spectrogram, SpectrogramMaker


@dataclass(frozen=True)
class About:
    """What decoding tells of a recording besides its windows.

    Attributes:
        sample_rate: Its own, in Hz, if it is known.
        spectrogram: Its picture, if one was asked for.
    """

    sample_rate: int | None
    spectrogram: Spectrogram | None


@dataclass(frozen=True)
class Decoder:
    """Decodes recordings into windows.

    Attributes:
        sample_rate: The model's, in Hz.
        length, hop: Seconds of a window, and from one to the next.
        minimum: Seconds of a window's samples at least; a shorter one has silence after it.
        listening: The track and channel that are heard.
        is_surrounded: Whether windows go over both ends of the recording, as events need them.
        is_drawn: Whether there is to be a spectrogram.
    """

    sample_rate: int
    length: float
    hop: float
    minimum: float
    listening: Listening
    is_surrounded: bool
    is_drawn: bool

    def __call__(self, path: Input, warn: Warn) -> Generator[Window, None, About]:
        """A recording's windows; then what else there is to know of it."""
        if isinstance(path, Path) and path.is_dir():
            os.listdir(path)  # raises the reason: only an unreadable folder gets here
        rate = self.sample_rate
        blocks = Ending(streams.stream(path, rate, listening=self.listening, warn=warn))
        maker = SpectrogramMaker(rate) if self.is_drawn else None
        heard = blocks if maker is None else _drawn(blocks, maker)
        cut = surrounded_windows if self.is_surrounded else windows
        yield from cut(heard, rate, self.length, self.hop, self.minimum)
        return About(blocks.result, None if maker is None else maker.result())


def _drawn(blocks: Iterable[np.ndarray], maker: SpectrogramMaker) -> Iterator[np.ndarray]:
    """The blocks, as they pass a maker of spectrograms."""
    for block in blocks:
        maker.add(block)
        yield block
