"""Audio tagging with DCLS: `load_tagger()` gives a Tagger, `tag(path)` the tags of a file."""

from typing import TYPE_CHECKING

from audiotag.version import __version__

if TYPE_CHECKING:
    from audiotag.loading import load_tagger
    from audiotag.tagging import tag

__all__ = ["__version__", "load_tagger", "tag"]


def __getattr__(name: str):
    """Import torch only when a tagger is asked for: `audiotag --help` must stay instant."""
    if name == "load_tagger":
        from audiotag import loading

        return loading.load_tagger
    if name == "tag":
        from audiotag import tagging

        return tagging.tag
    raise AttributeError(f"module 'audiotag' has no attribute {name!r}")
