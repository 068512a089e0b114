"""The clips of a data set as a model hears them: cut into windows as `audiotag tag` does."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

import numpy as np
import soxr

from audiotag.audio.windows import followed_by_silence, windows
from audiotag.data.dataset import ClipDataset
from audiotag.data.encoding import PCM_16_SCALE
from audiotag.models.engine import Engine

BATCHES_AHEAD = 4  # read and waiting
QUALITY = "HQ"  # of resampling, as when files are tagged
READERS = 4  # threads; decoding FLAC is some 100 times faster than a CPU model


def heard(samples: np.ndarray, tagger: Engine) -> np.ndarray:
    """The windows (W, T) in which a model hears samples (T,): one of the clip's length, padded with
    silence to the model's shortest; or, if the model takes only one length, windows of that."""
    shortest = round(tagger.min_duration * tagger.sample_rate)
    if tagger.window is None:
        return followed_by_silence(samples, shortest)[None]
    cut = windows([samples], tagger.sample_rate, tagger.window, minimum=tagger.min_duration)
    return np.stack([window.samples for window in cut])


def equal_lengths(dataset: ClipDataset, batch_size: int) -> list[list[int]]:
    """Batches of clip numbers; all clips of a batch have the same length."""
    order = np.argsort(dataset.durations, kind="stable")
    groups = [list(map(int, x)) for _, x in groupby(order, key=lambda i: dataset.durations[i])]
    return [clips[i : i + batch_size] for clips in groups for i in range(0, len(clips), batch_size)]


def compute_clips(
    dataset: ClipDataset,
    batches: Sequence[list[int]],
    tagger: Engine,
    compute: Callable[[np.ndarray], np.ndarray],
) -> Iterator[tuple[list[int], np.ndarray]]:
    """The outputs of a model for the clips of a data set, which are read in threads.

    Args:
        dataset: The clips.
        batches: Numbers of clips of the same length, as from `equal_lengths`.
        tagger: The model; it determines the windows of a clip.
        compute: Waveforms (B, T) -> outputs (B, K).

    Yields:
        A batch, and the outputs (B, W, K) for each window of each clip.
    """
    for clips, waveforms in _read_ahead(dataset, batches, tagger):
        flat = waveforms.reshape(-1, waveforms.shape[-1])
        parts = [compute(flat[i : i + len(clips)]) for i in range(0, len(flat), len(clips))]
        outputs = np.concatenate(parts)
        yield clips, outputs.reshape(*waveforms.shape[:2], outputs.shape[-1])


def _read_ahead(
    dataset: ClipDataset, batches: Sequence[list[int]], tagger: Engine
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Batches with their waveforms (B, W, T) float32 in [-1, 1], read in threads."""

    def read(clip: int) -> np.ndarray:
        samples = dataset.read(clip).astype(np.float32) / np.float32(PCM_16_SCALE)
        if dataset.sample_rate != tagger.sample_rate:
            rates = dataset.sample_rate, tagger.sample_rate
            samples = soxr.resample(samples, *rates, quality=QUALITY)
        return heard(samples, tagger)

    waiting: deque[tuple[list[int], list[Future[np.ndarray]]]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for batch in batches:
            waiting.append((batch, [pool.submit(read, clip) for clip in batch]))
            if len(waiting) > BATCHES_AHEAD:
                clips, parts = waiting.popleft()
                yield clips, np.stack([part.result() for part in parts])
        for clips, parts in waiting:
            yield clips, np.stack([part.result() for part in parts])
