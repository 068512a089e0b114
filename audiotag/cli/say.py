"""Lines on standard error, which may contain names and messages that others wrote."""

import click

from audiotag.runtime.escapes import visible


def say(text: str) -> None:
    """Write a line; characters that act on a terminal are escaped."""
    click.echo(visible(text), err=True)
