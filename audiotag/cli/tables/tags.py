"""The table of tags on a terminal: as `formats.Table`, with colours and bars."""

import sys
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.text import Text

from audiotag.runtime.escapes import printable
from audiotag.tagging.chains import Chain, chains
from audiotag.tagging.results import NO_TAG, FileTags
from audiotag.tagging.text import clock, event_line

BAR = 20  # characters for a score of 1
BLOCKS, LETTERS = "█░", "#."  # of a bar; letters if the terminal has no blocks


class TerminalTable:
    """An output that prints results in colours; failures are only reported on standard error."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._bar = BLOCKS if self._shown(BLOCKS) == BLOCKS else LETTERS

    def has(self, path: Path) -> bool:
        """False: nothing has been printed before."""
        return False

    def write(self, result: FileTags) -> None:
        """Print one result."""
        if result.error is not None:
            return
        name = Text(self._shown(result.path), style="bold")
        self._console.print(name.append(f"  {clock(result.duration or 0.0)}", style="not bold dim"))
        for chain in chains(result.tags):
            self._console.print(self._line(chain))
        if not result.tags:
            self._console.print(Text(f"  {NO_TAG}", style="dim"))
        for part in result.segments:
            line = Text(f"  {clock(part.start):>9} - {clock(part.end):<9} ", style="cyan")
            heard = ", ".join(f"{chain} {chain.tag.score:.2f}" for chain in chains(part.tags))
            is_guess = any(tag.guess for tag in part.tags)
            style = "dim" if is_guess else "default"
            self._console.print(line.append(self._shown(heard), style=style))
        for event in result.events or ():
            self._console.print(Text(self._shown(f"  {event_line(event)}"), style="cyan"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to do, as nothing is buffered."""

    def _line(self, chain: Chain) -> Text:
        filled = round(chain.tag.score * BAR)
        line = Text(f"  {chain.tag.score:.3f} ", style="dim" if chain.tag.guess else "")
        line.append(self._bar[0] * filled, style="green")
        line.append(self._bar[1] * (BAR - filled), style="dim")
        return line.append(f" {self._shown(str(chain))}")

    def _shown(self, text: str) -> str:
        return printable(text, sys.stdout.encoding)
