"""How a model hears: what its crops make of short clips, and how it is measured as it is used.

A clip shorter than the shortest crop was learnt among silence, so silence follows it up to that
length wherever the model is used. A network that takes its crops' length alone hears windows of it.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from audiotag.data.loading.clips import Clips
from audiotag.models.model import Model

OTHER_LENGTHS = (1.07, 1.5, 2.9)  # of the longest crop: what takes these takes any length


def hearing_of(tagger: Model, crops: Sequence[float]) -> tuple[float, float | None]:
    """Seconds of the shortest audio that a model is to hear, and of the only windows it takes.

    Args:
        tagger: A model that takes its crops.
        crops: Their lengths, in seconds.
    """
    longest = max(crops)
    others = [longest * factor for factor in OTHER_LENGTHS] + [(min(crops) + longest) / 2]
    if all(_takes(tagger, seconds) for seconds in others):
        return min(crops), None
    return longest, longest


def _takes(tagger: Model, seconds: float) -> bool:
    silence = torch.zeros(1, round(seconds * tagger.sample_rate), device=tagger.device)
    try:
        with torch.inference_mode():
            tagger.eval()(silence)
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def heard_clips(
    clips: Clips, tagger: Model, batch_size: int, seconds: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """All clips as `audiotag evaluate` hears them, equally long ones together.

    Args:
        clips: The clips.
        tagger: The model, which says how it hears.
        batch_size: Clips of `seconds` seconds that fit on the device at once.
        seconds: Their length; of longer ones fewer are taken.

    Yields:
        Numbers of clips (B,) and their waveforms (B, T).
    """
    shortest = round(tagger.min_duration * tagger.sample_rate)
    lengths = torch.as_tensor(clips.samples.lengths).clamp(min=shortest)
    for length in lengths.unique().tolist():
        size = max(1, int(batch_size * seconds * tagger.sample_rate / max(length, 1)))
        for part in (lengths == length).nonzero()[:, 0].split(min(size, batch_size)):
            yield part, clips.heads(part, length / tagger.sample_rate)


def pooled_logits(tagger: Model, waveforms: Tensor) -> Tensor:
    """Logits (B, classes) of waveforms (B, T), each class's those of the window that says it
    loudest, where the model takes windows of one length alone; of a softmax their logarithms."""
    if tagger.window is None:
        return tagger(waveforms).float()
    size = round(tagger.window * tagger.sample_rate)
    last = waveforms.shape[1] - size
    starts = [*range(0, last, size), last]
    windows = [tagger(waveforms[:, start : start + size]).float() for start in starts]
    if tagger.config.softmax:
        windows = [logits.log_softmax(1) for logits in windows]
    return torch.stack(windows).amax(0)
