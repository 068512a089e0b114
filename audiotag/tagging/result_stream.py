"""Results one after the other in one stream: standard output, or a file."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from audiotag.runtime.escapes import printable
from audiotag.runtime.files import appended, explained
from audiotag.tagging.output import REMEDY
from audiotag.tagging.results import FileTags
from audiotag.tagging.resume import Earlier, cut, settle
from audiotag.tagging.text import Format

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ResultStream:
    """Results one after the other in a stream, each written out at once.

    Args:
        name: What messages call it.
        form: The format.
        opener: Gives the stream when there is a first result.
    """

    def __init__(
        self, name: str, form: Format, opener: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> None:
        self._name, self._form, self._opener = name, form, opener
        self._stream: BinaryIO | None = None
        self._exit = ExitStack()

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        return False

    def write(self, result: FileTags) -> None:
        """Append one result."""
        if self._stream is None:
            self._stream = self._exit.enter_context(self._opener())
            self._put(self._start())
        self._put(self._form.add(result))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._exit:
            self._put(self._form.end())

    def _start(self) -> str:
        """What comes before the first result."""
        return self._form.start()

    def _put(self, text: str) -> None:
        if self._stream is not None and text:
            with explained(self._name, REMEDY):
                self._stream.write(text.encode())
                self._stream.flush()


class ContinuedStream(ResultStream):
    """A file of results that an earlier run began, and where files that failed are tried again.

    Args:
        target: The file.
        format: Name of the format.
        form: The format.
        earlier: What the file holds.
    """

    def __init__(self, target: Path, format: str, form: Format, earlier: Earlier) -> None:
        super().__init__(str(target), form, lambda: appended(target, REMEDY))
        self._target, self._format, self._earlier = target, format, earlier
        self._is_torn = False

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        return self._earlier.take(str(path))

    def write(self, result: FileTags) -> None:
        """Append one result, under the name that the file had in the earlier run."""
        self._is_torn, is_first = True, self._stream is None
        name = self._earlier.name_of(result.path, is_first)
        if is_first:
            cut(self._target, self._earlier.size, REMEDY)
        super().write(replace(result, path=name))
        self._is_torn = False

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if not (self._earlier.is_settled or self._is_torn):
            settle(self._target, self._format, REMEDY)

    def _start(self) -> str:
        return "" if self._earlier.size else self._form.start()


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    yield _Terminal() if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal(io.RawIOBase, BinaryIO):
    """Standard output where it is a terminal: it gets what it can show, and acts on nothing."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Show UTF-8."""
        lines = bytes(data).decode().split("\n")
        sys.stdout.write("\n".join(printable(line, sys.stdout.encoding) for line in lines))
        return len(bytes(data))

    def flush(self) -> None:
        """Show it now."""
        sys.stdout.flush()
