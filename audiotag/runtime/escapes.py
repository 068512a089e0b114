"""Text that others wrote (file names, labels, messages), escaped so that it does no harm.

On Linux a file name is any sequence of bytes. Python represents bytes that are not UTF-8 as lone
surrogates, which cannot be written to a UTF-8 file.
"""

import re

# Characters that act on a terminal or reverse the order of a line: control characters (except
# tabs), ends of lines and paragraphs, bidirectional embeddings and overrides.
COMMANDS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
BYTES = range(0xDC80, 0xDD00)  # surrogates that stand for the bytes 0x80 to 0xff
SHORT = {"\n": r"\n", "\r": r"\r"}
TO_ESCAPE = re.compile(r"(\\*)([\ud800-\udfff])|(\\+)(?=ud)")
ESCAPED = re.compile(r"(\\+)ud(?:([89a-f][0-9a-f]{2}))?")


def visible(text: str) -> str:
    r"""Text for a terminal, or for reading: what it would act on is shown as `\x1b` or `\u202e`,
    a byte of a name that is not UTF-8 as `\xe9`."""
    return SURROGATE.sub(_byte, COMMANDS.sub(_command, text))


def printable(text: str, encoding: str | None) -> str:
    r"""`visible` text, with `\u97f3` for characters that an encoding hasn't."""
    known = encoding or "ascii"
    return visible(text).encode(known, "backslashreplace").decode(known)


def unicode_text(text: str) -> str:
    r"""Valid Unicode that `from_unicode_text` turns back into the text.

    A lone surrogate becomes `\udce9`; backslashes before it or before a literal `ud` are doubled.
    Other text stays as it is.
    """
    return TO_ESCAPE.sub(_escape, text)


def from_unicode_text(text: str) -> str:
    """The text that `unicode_text` had as its argument."""
    return ESCAPED.sub(_unescape, text)


def _command(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def _byte(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if code in BYTES else f"\\u{code:04x}"


def _escape(match: re.Match[str]) -> str:
    if match[2] is None:
        return 2 * match[3]
    return f"{2 * match[1]}\\u{ord(match[2]):04x}"


def _unescape(match: re.Match[str]) -> str:
    backslashes, digits = match[1], match[2] or ""
    kept = "\\" * (len(backslashes) // 2)
    if len(backslashes) % 2 == 0:
        return f"{kept}ud{digits}"
    if not digits:  # not written by `unicode_text`
        return match[0]
    return kept + chr(int(f"d{digits}", 16))
