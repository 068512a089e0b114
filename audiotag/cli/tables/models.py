"""The lists of `audiotag models`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from audiotag.tagging.catalogue import Architecture, Choice, Entry


def print_entries(title: str, entries: Sequence["Entry"], none: str) -> None:
    """Print models that have weights; the text `none` if there are none."""
    click.echo(f"{title}:")
    for entry in entries:
        text = f"{entry.architecture}, {entry.classes} classes, {entry.size / 1e6:.1f} MB"
        if entry.cached is not None:
            used = datetime.fromtimestamp(entry.cached.used)
            text += f", revision {entry.cached.revision}, last used {used:%Y-%m-%d %H:%M}"
        click.echo(f"  {entry.name}  {text}")
    if not entries:
        click.echo(f"  {none}")
    click.echo()


def print_choices(choices: Iterable["Choice"]) -> None:
    """Print published models, with what speaks for each."""
    from audiotag.cli.tables.grid import open_console, print_grid

    rows = [
        (
            choice.model.name,
            f"{choice.model.score:.1f}",
            f"{choice.model.megabytes:.1f}",
            "" if choice.speed is None else f"{choice.speed:.3g}",
            choice.model.licence,
            "yes" if choice.is_here else "",
            choice.model.purpose,
        )
        for choice in choices
    ]
    columns = ("name", "mAP %", "MB", "clips/s", "licence", "here", "what for")
    print_grid(open_console(), columns, rows, words={"licence", "here", "what for"})


def print_architectures(architectures: Iterable["Architecture"]) -> None:
    """Print the costs of architectures, and their published figures."""
    from audiotag.cli.tables.grid import open_console, print_grid

    rows = [
        (
            x.name,
            x.method,
            f"{x.parameters:,}",
            f"{x.macs / 1e9:.2f} G",
            "" if x.published_map is None else f"{x.published_map:.1f}",
            x.source,
        )
        for x in architectures
    ]
    columns = ("name", "convolutions", "parameters", "MACs 10 s", "mAP %", "mAP published in")
    print_grid(open_console(), columns, rows, words={"convolutions", "mAP published in"})
