"""Whether a file was cut short: a copy that broke off, a card that was full, a recorder that died.

Three signs say so. Some formats write down, near their beginning, how many bytes the file has, and
it ends before that. In others the last frame says how long it is, and less of it is there. And an
Ogg file's pages are numbered, and the last one is marked.
"""

from typing import IO

from audiotag.audio.announced_sizes import HEAD, MP4_MARKS, VOC_MARK, announced_size
from audiotag.audio.last_frames import last_frame_is_cut
from audiotag.audio.ogg_pages import OGG_MARK, read_pages
from audiotag.audio.sources import read_at

LEAST_MISSING, MISSING_PART = 512, 2e-3  # bytes, and part of the file; less may be padding


def why_cut_short(file: IO[bytes], begin: int, total: int) -> str | None:
    """How a file shows that it was cut short, for a sentence that it is the subject of; None if it
    does not.

    Args:
        file: What holds it.
        begin: Its first byte.
        total: Byte after its last.
    """
    head = read_at(file, begin, HEAD)
    size = announced_size(file, head, begin, total)
    if size is not None:
        missing = size - (total - begin)
        is_exact = head.startswith(VOC_MARK) or head[4:8] in MP4_MARKS
        if missing > (0 if is_exact else max(LEAST_MISSING, MISSING_PART * size)):
            return f"is cut short: {missing / size:.0%} of what its header announces is missing"
        return None
    if head.startswith(OGG_MARK):
        return _of_pages(file, begin, total)
    if last_frame_is_cut(file, head, begin, total):
        return "is cut short: it breaks off within a frame"
    return None


def _of_pages(file: IO[bytes], begin: int, total: int) -> str | None:
    """Of an Ogg file."""
    pages = read_pages(file, begin, total)
    if pages.lost:
        return f"is damaged: {pages.lost} of its pages {'is' if pages.lost == 1 else 'are'} missing"
    if pages.is_cut:
        return "is cut short: it breaks off within a page"
    if not pages.has_end:
        return "may be cut short: no page says that it is the last"
    return None
