"""Options and arguments that several commands share, and the types of their values (`types`)."""

from collections.abc import Callable, Sequence


def with_options(options: Sequence[Callable], command: Callable) -> Callable:
    """Add options and arguments to a command; the help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command
