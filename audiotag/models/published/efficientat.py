"""The front end of an EfficientAT checkpoint, which its tensors do not tell: its name does.

The release has `mn10_as_mAP_471.pt` for 128 mel bands every 10 ms, `mn10_as_mels_40_mAP_453.pt` for
40, `mn10_as_hop_5_mAP_475.pt` for every 5 ms; their tensors have the same shapes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audiotag.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE = 32_000  # Hz, of all of them
MELS, HOP_MS = 128, 10.0  # the usual front end
HOPS = 1.0, 50.0  # ms, from least to most that a name may mean
MELS_LIMITS = 8, 512
# A name of the release, with what it says: as for AudioSet, im for ImageNet.
NAME = re.compile(r"(?<![a-z0-9])mn\d\d(?=_)(?P<said>.*?(?:_(?:as|im|mels?|hop)(?![a-z]).*))")
IMAGES = re.compile(r"_im(?![a-z])")
BIAS = "classifier.5.bias"
ASKED = (
    "convert the file with audiotag convert, and say its mel bands and the milliseconds from one "
    f"frame to the next with --mels and --hop (for most {MELS} and {HOP_MS:g})"
)


@dataclass(frozen=True)
class MelFrames:
    """The front end of an EfficientAT model, as far as it is known.

    Attributes:
        mels: Number of mel bands; None if it is not known.
        hop: Time from one frame to the next, in ms; None likewise.
    """

    mels: int | None = None
    hop: float | None = None

    @property
    def arguments(self) -> dict[str, int]:
        """Arguments of the front end `efficientat_mel`: those that are not its defaults."""
        mels = MELS if self.mels is None else self.mels
        hop = HOP_MS if self.hop is None else self.hop
        values = {"n_mels": mels} if mels != MELS else {}
        return values if hop == HOP_MS else values | {"hop_length": round(hop * SAMPLE_RATE / 1000)}


UNKNOWN = MelFrames()


def read_mel_frames(names: Iterable[str], asked: MelFrames, source: object) -> MelFrames:
    """The front end that was asked for, or else that a checkpoint's name tells.

    Args:
        names: Of the file, and of what it lies in.
        asked: What the user says, which goes before the name.
        source: What the message calls the checkpoint.

    Raises:
        ModelError: If neither tells, or the name is that of ImageNet's weights.
    """
    found = [match for match in map(NAME.search, map(_plain, names)) if match]
    if found and IMAGES.search(found[0]["said"]):
        raise _of_images(source)
    if asked != UNKNOWN:
        return asked
    if not found:
        raise ModelError(
            f"{source} is an EfficientAT model whose name does not tell its front end; {ASKED}, or "
            "give the file its name in the release, as mn10_as_mAP_471.pt"
        )
    mels, hop = (_number(found[0]["said"], word) for word in ("mels?", "hop"))
    if not (HOPS[0] <= (hop or HOP_MS) <= HOPS[1] and _is_count(mels or MELS)):
        raise ModelError(f"{source}: the front end in its name is not one of EfficientAT; {ASKED}")
    return MelFrames(None if mels is None else int(mels), hop)


def check_head(state: "dict[str, Tensor]", source: object) -> None:
    """Refuse a model of images, whose last layer was never trained: its bias is still zero.

    Raises:
        ModelError: If it is one.
    """
    if not state[BIAS].any():
        raise _of_images(source)


def _of_images(source: object) -> ModelError:
    return ModelError(
        f"{source} has EfficientAT's weights of ImageNet, whose last layer is random: its tags "
        "would mean nothing; take a file called mn.._as"
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", name.lower())


def _number(text: str, word: str) -> float | None:
    match = re.search(rf"_{word}_?(\d+(?:\.\d+)?)(?![0-9])", text)
    return float(match[1]) if match else None


def _is_count(mels: float) -> bool:
    return mels == int(mels) and MELS_LIMITS[0] <= mels <= MELS_LIMITS[1]
