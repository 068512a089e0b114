"""Whether one figure of validation clips is better than another by more than chance.

A better figure on a few dozen clips says little: on ESC-10 weights that told one clip more of 56
were worse on 80 others. So a gain must be above two standard errors of a share of the clips.
"""

import math

SURE = 2.0  # standard errors


def is_gain(before: float, after: float, clips: int) -> bool:
    """Whether the later figure, in 0 to 1, is better by more than chance.

    The standard error is that of a share of the clips, by the rule of succession: of a perfect
    figure it is not 0.
    """
    share = ((before + after) / 2 * clips + 1) / (clips + 2)
    return after - before > SURE * math.sqrt(share * (1 - share) / clips)
