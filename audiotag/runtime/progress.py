"""The line on a terminal that says how far long work is; nothing where standard error is a file."""

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
) -> tqdm:
    """A line to `update`, used as a context manager.

    Args:
        name: What is done.
        total: Units in all.
        unit: What is counted, in the plural.
        initial: Units that earlier runs have done.
        is_hidden: Show nothing, as in all processes but the first.
        is_left: Leave the line on the terminal at the end.
        delay: Seconds that may pass before the line appears.
    """
    return tqdm(
        desc=name,
        total=total,
        unit=f" {unit}",
        initial=initial,
        disable=True if is_hidden else None,  # None: shown on a terminal
        leave=is_left,
        delay=delay,
        bar_format=FORMAT,
    )
