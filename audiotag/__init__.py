"""Audio tagging with DCLS: `load_tagger()` gives a Tagger, `tag(path)` the tags of a file."""

from importlib import import_module
from typing import TYPE_CHECKING

from audiotag.runtime.version import __version__

if TYPE_CHECKING:
    from audiotag.tagging.from_python import tag
    from audiotag.tagging.tagger import Tagger, load_tagger

__all__ = ["Tagger", "__version__", "load_tagger", "tag"]
# Imported when they are asked for: torch takes seconds, and `audiotag --help` must stay instant.
LAZY = {
    "Tagger": "audiotag.tagging.tagger",
    "load_tagger": "audiotag.tagging.tagger",
    "tag": "audiotag.tagging.from_python",
}


def __getattr__(name: str):
    if name not in LAZY:
        raise AttributeError(f"module 'audiotag' has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
