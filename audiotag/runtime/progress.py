"""The progress line of long work. On a terminal it is one line; if standard error is a file, the
longest work writes a line from time to time."""

import sys
from typing import Any, cast

from tqdm import tqdm

# "train: 120 of 400 clips, 35.20 clips/s, 00:08 left, loss=0.1": as the commands' own lines.
FORMAT = "{desc}: {n_fmt} of {total_fmt}{unit}, {rate_noinv_fmt}, {remaining} left{postfix}"


def progress_line(
    name: str,
    total: int,
    unit: str,
    *,
    initial: int = 0,
    is_hidden: bool = False,
    is_left: bool = True,
    delay: float = 0.0,
    log_every: float | None = None,
) -> tqdm:
    """A progress line with a method `update`, used as a context manager.

    Args:
        name: Name of the work.
        total: Number of units in all.
        unit: Name of a unit, in the plural.
        initial: Units done by earlier runs.
        is_hidden: Show nothing, as in all processes except the first.
        is_left: Leave the line on the terminal at the end.
        delay: Seconds before the line appears; shorter work shows none.
        log_every: Seconds from one line to the next if standard error is not a terminal; if None,
            no line is written there.
    """
    is_logged = log_every is not None and not sys.stderr.isatty()
    where: dict[str, Any] = {}
    if is_logged:
        where = {"file": _Lines(), "mininterval": log_every, "miniters": 1}
        delay = cast(float, log_every)
    return tqdm(
        desc=name,
        total=total,
        unit=f" {unit}",
        initial=initial,
        disable=True if is_hidden else False if is_logged else None,  # None: shown on a terminal
        leave=is_left,
        delay=delay,
        bar_format=FORMAT,
        **where,
    )


class _Lines:
    """Standard error as a file for tqdm, in which each state is a line of its own."""

    def write(self, text: str) -> None:
        """Write the text without the characters that move the cursor or clear the line."""
        if line := text.strip("\r\n "):
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        """Write the text that is still buffered."""
        sys.stderr.flush()
