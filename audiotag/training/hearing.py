"""How a model hears clips: the length that short clips are padded to, and the length of windows.

In training, a clip shorter than the shortest crop lies within silence. So wherever the model is
used, it is padded with silence to that length. A network that takes only one length hears windows
of that length.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from audiotag.data.loading.clips import Clips
from audiotag.models.model import Model

OTHER_LENGTHS = (1.07, 1.5, 2.9)  # of the longest crop: a network that takes these takes any


def hearing_of(tagger: Model, crops: Sequence[float]) -> tuple[float, float | None]:
    """Shortest input of a model in seconds, and the length of its windows if it takes only one.

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
    """All clips, cut and padded as in `audiotag evaluate`, in batches of clips of the same length.

    Args:
        clips: The clips.
        tagger: The model; its config says how it hears.
        batch_size: Clips of `seconds` seconds that fit on the device at once.
        seconds: Their length; batches of longer clips are smaller.

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
    """Logits (B, classes) of waveforms (B, T). If the model takes windows of only one length, each
    class has the logit of its highest window; for a softmax, the logarithm of its score."""
    if tagger.window is None:
        return tagger(waveforms).float()
    size = round(tagger.window * tagger.sample_rate)
    last = waveforms.shape[1] - size
    starts = [*range(0, last, size), last]
    windows = [tagger(waveforms[:, start : start + size]).float() for start in starts]
    if tagger.config.softmax:
        windows = [logits.log_softmax(1) for logits in windows]
    return torch.stack(windows).amax(0)
