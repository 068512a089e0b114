"""Hub ids and options of a push among the arguments of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def hub_usage() -> Iterator[None]:
    """Turn a HubError, about what was written, into wrong usage."""
    from audiotag.errors import HubError

    try:
        yield
    except HubError as error:
        raise click.UsageError(str(error)) from error
