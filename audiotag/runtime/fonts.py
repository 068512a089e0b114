"""Fonts of pictures: matplotlib's own has neither Chinese, Japanese nor Korean characters."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

LAST_RESORT = "Last Resort"  # a font that has a box for everything
SHOWN = 10  # characters in a message
logger = logging.getLogger(__name__)


def plain(text: str) -> str:
    """Text that matplotlib draws as it is: a pair of dollars would be mathematics."""
    return text.replace("$", r"\$")


@contextmanager
def fonts_for(texts: Iterable[str], path: Path) -> Iterator[None]:
    """A context in which pictures are drawn in fonts that have all characters of some texts; of
    those that no font here has, a warning is given.

    Args:
        texts: What is to be drawn.
        path: The picture, which the warning names.
    """
    import matplotlib

    needed = {ord(x) for text in texts for x in text if x.isprintable()}
    families = list(matplotlib.rcParams["font.family"])
    found, missing = _families(needed, families)
    if missing:
        more = ", ..." if len(missing) > SHOWN else ""
        shown = ", ".join(map(chr, sorted(missing)[:SHOWN]))
        logger.warning(
            "%s: no font here has %s%s, drawn as boxes; install one, such as Noto Sans CJK, and "
            "draw it again",
            path,
            shown,
            more,
        )
    with matplotlib.rc_context({"font.family": [*families, *found]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # said above, once
        yield


def _families(needed: set[int], families: list[str]) -> tuple[list[str], set[int]]:
    """Families that have the code points that others lack, those with most of them first, and what
    none has."""
    from matplotlib import font_manager

    default = font_manager.findfont(font_manager.FontProperties(family=families))
    missing, found = needed - _characters(default), []
    while missing:
        others = [x for x in font_manager.fontManager.ttflist if LAST_RESORT not in x.name]
        best = max(others, key=lambda x: len(missing & _characters(x.fname)))
        if not missing & _characters(best.fname):
            break
        missing -= _characters(best.fname)
        found.append(best.name)
    return found, missing


@cache
def _characters(font: str) -> frozenset[int]:
    """The code points that a font file has; none of one that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(font).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
