"""How a command ends that Ctrl-C stops."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

INTERRUPTED = 130  # exit code of a program that Ctrl-C ended, by convention


@contextmanager
def interruptible(describe: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C, end with one line on standard error, by `describe`, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(describe(), err=True)
        sys.exit(INTERRUPTED)
