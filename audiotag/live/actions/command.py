"""An action: run a command, never through a shell."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from audiotag.live.actions.runner import ActionError

LONGEST = 60.0  # s that a command may take


class Command:
    """Runs a command for each event.

    The event is on its standard input as JSON and in its environment, as AUDIOTAG_LABEL,
    AUDIOTAG_SCORE and so on; in its arguments, {label}, {score} and so on are replaced.

    Args:
        words: The program and its arguments.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self.name = f"--exec {words[0]}"

    @classmethod
    def parse(cls, text: str) -> "Command":
        """The command in a line, whose words are split as a shell would split them.

        Raises:
            ValueError: A quote is not closed, or there is no word.
        """
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no command: {error}") from error
        if not words:
            raise ValueError("the command is empty")
        return cls(words)

    def run(self, record: dict[str, Any]) -> None:
        """As of `Action`."""
        values = {name: "" if value is None else str(value) for name, value in record.items()}
        environment = {f"AUDIOTAG_{name.upper()}": value for name, value in values.items()}
        try:
            done = subprocess.run(
                [_filled(word, values) for word in self._words],
                input=json.dumps(record).encode(),
                stdout=sys.stderr.fileno() if sys.stderr else None,  # ours is for results
                env=os.environ | environment,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ActionError(f"took more than {LONGEST:.0f} s and was ended") from error
        except OSError as error:
            raise ActionError(f"cannot be run ({error.strerror})") from error
        if done.returncode:
            raise ActionError(f"ended with exit code {done.returncode}")

    def close(self) -> None:
        """Nothing is open."""


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word
