"""Lines on standard error, which hold names and messages that others wrote."""

import click

from audiotag.runtime.escapes import visible


def say(text: str) -> None:
    """Write a line, in which nothing acts on a terminal."""
    click.echo(visible(text), err=True)
