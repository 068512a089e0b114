"""Tags of a file in one call: `audiotag.tag`."""

from functools import cache
from pathlib import Path
from typing import Unpack

from audiotag.models.engine import Engine
from audiotag.tagging.open import open_engine
from audiotag.tagging.results import FileTags
from audiotag.tagging.tag import TagKeywords, options_from, tag_file


def tag(
    path: str | Path, model: str | Path | None = None, **options: Unpack[TagKeywords]
) -> FileTags:
    """Tags of an audio file; the model stays loaded from one call to the next.

    Args:
        path: An audio file.
        model: As for `tagging.open.open_engine`.
        options: Fields of `TagOptions`.

    Raises:
        AudioError: If the file cannot be decoded.
        ModelError, HubError: As `open_engine`.
        TypeError, ValueError: If an option is unknown, or its value impossible.

    Example:
        >>> import audiotag
        >>> result = audiotag.tag("cat.mp3", top_k=3)
        >>> len(result.tags), round(result.duration, 1)
        (3, 0.5)
        >>> "Cat" in [tag.label for tag in result.tags]
        True
    """
    return tag_file(_cached_engine(model), path, options_from("tag", options))


@cache
def _cached_engine(model: str | Path | None) -> Engine:
    return open_engine(model)
