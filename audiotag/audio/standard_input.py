"""Standard input: a recording, or a list of paths?

A list is text; its paths are separated by newlines or, as from `find -print0`, by NUL bytes.
Headers of audio contain bytes that no such list has.
"""

from collections.abc import Iterator
from typing import IO

PIECE = 2**16  # bytes read at once at most
HEAD = 4096  # bytes; no path is longer on Linux
HEADER = 64  # bytes that show the format of any recording
NOT_IN_LISTS = frozenset(range(1, 32)) - frozenset(b"\t\n\r\x1b") | {127}
TEXT_HEADERS = (b"#!AMR\n", b"#!AMR-WB\n", b"NIST_1A\n")  # of audio
BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_head(file: IO[bytes]) -> bytes:
    """The beginning: at least a path or a header, but no more than has arrived.

    Args:
        file: An unbuffered file, which returns the bytes that have arrived.
    """
    head = b""
    while len(head) < HEAD and b"\n" not in head and b"\0" not in head:
        piece = file.read(PIECE)
        if not piece:
            break
        head += piece
    return head


def is_audio(head: bytes) -> bool:
    """Whether these first bytes are those of a recording, not of a list of paths."""
    header = head[:HEADER]
    if header.startswith(UTF_16):
        return False
    if header.startswith(TEXT_HEADERS):
        return True
    is_mpeg = header[:1] == b"\xff" and header[1:2] >= b"\xe0"  # a frame of MP3 or AAC
    has_no_paths = header.startswith(b"\0") or b"\0\0" in header
    return is_mpeg or has_no_paths or not NOT_IN_LISTS.isdisjoint(header)


def listed_paths(head: bytes, file: IO[bytes]) -> Iterator[str]:
    """The paths of a list, each as soon as its end has been read; a byte order mark is skipped.

    Args:
        head: The beginning of the list.
        file: The file with the rest.

    Raises:
        ValueError: If the list is in UTF-16.
    """
    if head.startswith(UTF_16):
        raise ValueError("the list of paths is in UTF-16; write it in UTF-8")
    separator = b"\0" if b"\0" in head else b"\n"
    rest, piece = head.removeprefix(BOM), head
    while piece:
        *whole, rest = rest.split(separator)
        yield from _paths(whole, separator)
        piece = file.read(PIECE)
        rest += piece
    yield from _paths([rest], separator)


def _paths(names: list[bytes], separator: bytes) -> Iterator[str]:
    """Paths as text, whatever bytes they hold; lines may be blank, and end as on Windows."""
    for name in names:
        path = name.decode("utf-8", "surrogateescape")
        if separator == b"\n":
            path = path.rstrip("\r") if path.strip() else ""
        if path:
            yield path
