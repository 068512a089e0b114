"""Options and arguments that several commands share."""

from collections.abc import Callable, Sequence


def with_options(options: Sequence[Callable], command: Callable) -> Callable:
    """Give a command options and arguments, which help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command
