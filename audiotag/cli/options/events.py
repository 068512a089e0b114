"""Options of the commands that find events: of which labels, and what is one event."""

from collections.abc import Callable

import click

from audiotag.cli.options import with_options
from audiotag.cli.options.types import Number
from audiotag.tagging.event_options import EventOptions

LABEL = click.option(
    "--label",
    multiple=True,
    metavar="NAME",
    help="Only this label and those below it in AudioSet's ontology (see audiotag labels), without "
    "guesses. May be given several times.",
)
BRIDGE = click.option(
    "--bridge",
    "bridged",
    type=Number("seconds", float, 0),
    default=EventOptions.bridged,
    show_default=True,
    help="Sounds of a label that lie no further apart are one event.",
)
GO_ON = click.option(
    "--go-on",
    type=Number("share", float, 0.01, 1),
    default=EventOptions.go_on,
    show_default=True,
    help="An event goes on while its score is at least this share of the threshold at which it "
    "begins.",
)
SHORTEST = click.option(
    "--shortest",
    type=Number("seconds", float, 0),
    default=EventOptions.shortest,
    show_default=True,
    help="Leave out events that are shorter.",
)


def event_options(command: Callable) -> Callable:
    """Add the options that say what is one event to a command that finds events with --events."""
    return with_options((BRIDGE, SHORTEST, GO_ON), command)
