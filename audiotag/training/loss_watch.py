"""Watching the loss: if it is not finite, an error names the clips of the batch."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from audiotag.errors import RecipeError


@dataclass
class LossWatch:
    """The losses of the latest micro batches. They are checked together, as reading one has to wait
    for the device.

    Attributes:
        keys: Keys of all clips.
        seen: Step, clips (B,) and loss of each micro batch since the last check.
    """

    keys: np.ndarray
    seen: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)

    def add(self, step: int, clips: Tensor, loss: Tensor) -> None:
        """Keep a micro batch's loss until the next check."""
        self.seen.append((step, clips, loss.detach()))

    def check(self) -> None:
        """Check the losses since the last check, in all processes at once, and forget them.

        Raises:
            RecipeError: In all processes, if a loss is not finite in one, naming its clips.
        """
        found = [self._first_bad()]
        if dist.is_initialized():
            found = [None] * dist.get_world_size()
            dist.all_gather_object(found, self._first_bad())
        bad = min((x for x in found if x is not None), default=None)
        if bad is not None:
            raise RecipeError(
                f"the loss is not finite at step {bad[0]}, clips {bad[1]}; lower optim.lr, set "
                "optim.clip_grad, or check these clips"
            )
        self.seen.clear()

    def _first_bad(self) -> tuple[int, str] | None:
        """Step and clips of the first loss that is not finite."""
        finite = torch.stack([loss for _, _, loss in self.seen]).isfinite().tolist()
        for (step, clips, _), is_finite in zip(self.seen, finite, strict=True):
            if not is_finite:
                return step, ", ".join(str(self.keys[i]) for i in clips.tolist())
        return None
