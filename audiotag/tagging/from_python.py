"""What `import audiotag` offers beside the tagger: tags of a file in one call."""

from functools import cache
from pathlib import Path

from audiotag.models.engine import Engine
from audiotag.tagging.open import open_engine
from audiotag.tagging.results import FileTags
from audiotag.tagging.tag import TagOptions, tag_file


def tag(path: str | Path, model: str | Path | None = None, **options) -> FileTags:
    """Tags of an audio file; the model stays loaded from one call to the next.

    Args:
        path: An audio file.
        model: As for `tagging.open.open_engine`.
        options: Fields of `TagOptions`.

    Raises:
        AudioError: If the file cannot be decoded.
        ModelError, HubError: As `open_engine`.
    """
    return tag_file(_cached_engine(model), path, TagOptions(**options))


@cache
def _cached_engine(model: str | Path | None) -> Engine:
    return open_engine(model)
