"""Text files as programs of all kinds save them."""

import codecs
from pathlib import Path

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding_of(path: Path) -> str:
    """The encoding of a text file: UTF-16 where it begins with its mark, or as ASCII characters in
    it do; else UTF-8, with a mark or without.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(2)
    if head in UTF_16_MARKS:
        return "utf-16"
    if b"\0" in head and head != b"\0\0":
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return "utf-8-sig"
