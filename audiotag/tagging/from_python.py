"""Tags and embeddings in one call: `audiotag.tag`, `tag_many`, `embed` and `labels`.

The most recently used models stay loaded, so that later calls need not load them; a model folder
that changes is not read again. Several threads may call at the same time, and share the models.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

from audiotag.audio.find_files import find_files
from audiotag.audio.in_memory import Input, as_input
from audiotag.label_set import Labels
from audiotag.models.engine import Engine
from audiotag.runtime.keywords import check_keywords
from audiotag.tagging.open import open_engine
from audiotag.tagging.results import FileEmbedding, FileTags
from audiotag.tagging.tag import (
    EmbedKeywords,
    TagKeywords,
    TagOptions,
    embed_file,
    options_from,
    tag_file,
    tag_files,
)

MODELS_KEPT = 4  # loaded at once
KEYWORDS = ("model", "sample_rate", "channels_last")  # of `tag` and `embed` besides options
LOADING = threading.Lock()


def tag(
    audio: Any,
    model: str | Path | None = None,
    *,
    sample_rate: float | None = None,
    channels_last: bool = False,
    **options: Unpack[TagKeywords],
) -> FileTags:
    """Tags of a recording, as `audiotag tag` prints them.

    The model stays loaded for later calls, and several threads may call at the same time. It runs
    on onnxruntime on a CPU if it has a `model.onnx`, as the embedded model has; else on torch.

    Args:
        audio: A path; a binary file object or the bytes of a file; or an array of samples, (T,) or
            (channels, T), int16 or floating point in [-1, 1].
        model: As for `tagging.open.open_engine`.
        sample_rate: Hz, of an array.
        channels_last: Whether an array is (T, channels).
        options: Fields of `TagOptions`.

    Raises:
        AudioError: If the recording cannot be decoded.
        ModelError, HubError: As `open_engine`.
        TypeError, ValueError: If an option is unknown, or its value impossible, or an array is not
            as described.

    Example:
        >>> import audiotag, soundfile
        >>> result = audiotag.tag("cat.mp3", top_k=3)
        >>> len(result.tags), round(result.duration, 1)
        (3, 0.5)
        >>> "Cat" in [tag.label for tag in result.tags]
        True
        >>> samples, rate = soundfile.read("rooster.wav", dtype="int16")
        >>> result = audiotag.tag(samples, sample_rate=rate)
        >>> result.tags == audiotag.tag("rooster.wav").tags
        True
    """
    checked = options_from("tag", options, KEYWORDS)
    return tag_file(engine_of(model), as_input(audio, sample_rate, channels_last), checked)


def tag_many(
    paths: Iterable[Any],
    model: str | Path | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
    **options: Unpack[TagKeywords],
) -> Iterator[FileTags]:
    """Tags of many recordings, in order, one result as soon as it is ready.

    The result of a recording that cannot be decoded has an `error`; the others are tagged.

    Args:
        paths: Files, and folders, which are searched as by `audiotag tag`; or file objects and
            bytes, as for `tag`. They are read a little ahead, in another thread.
        model: As for `tagging.open.open_engine`; stays loaded, as for `tag`.
        progress: Called after each window with its path and its end in seconds.
        options: Fields of `TagOptions`.

    Raises:
        ModelError, HubError: As `open_engine`.
        TypeError, ValueError: If an option is unknown, or its value is invalid.

    Example:
        >>> import audiotag
        >>> for result in audiotag.tag_many(["rooster.wav", "water.ogg", "no.wav"], top_k=1):
        ...     print(result.path, result.error or result.tags[0].label)
        rooster.wav Fowl
        water.ogg Water
        no.wav cannot be opened (No such file or directory)
    """
    checked = options_from("tag_many", options, ["model", "progress"])
    named = [paths] if isinstance(paths, str | os.PathLike) else paths
    files = (file for path in named for file in _found(path))
    if progress is None:
        return tag_files(engine_of(model), files, checked)
    report = progress
    return tag_files(engine_of(model), files, checked, lambda file, end: report(str(file), end))


def embed(
    audio: Any,
    model: str | Path | None = None,
    *,
    sample_rate: float | None = None,
    channels_last: bool = False,
    **options: Unpack[EmbedKeywords],
) -> FileEmbedding:
    """Embeddings of a recording and its windows, as `audiotag embed` writes them.

    Args:
        audio, model, sample_rate, channels_last: As for `tag`.
        options: window, hop, batch_size, workers, track and channel, fields of `TagOptions`.

    Raises:
        AudioError, ModelError, HubError, TypeError, ValueError: As `tag`.

    Example:
        >>> import audiotag
        >>> found = audiotag.embed("crowd.wav", window=4.0)
        >>> found.windows.shape[1:] == found.clip.shape
        True
    """
    check_keywords("embed", options, [*EmbedKeywords.__annotations__, *KEYWORDS])
    source = as_input(audio, sample_rate, channels_last)
    return embed_file(engine_of(model), source, TagOptions(**options))


def labels(model: str | Path | None = None) -> Labels:
    """The classes of the embedded model, or of another one, in the order of its scores.

    Args:
        model: As for `tagging.open.open_engine`; stays loaded, as for `tag`.

    Raises:
        ModelError, HubError: As `open_engine`.

    Example:
        >>> import audiotag
        >>> len(audiotag.labels()), audiotag.labels().names[:2]
        (527, ('Speech', 'Male speech, man speaking'))
    """
    return engine_of(model).labels


def _found(path: Any) -> Iterator[Input]:
    """The files that an item of `paths` stands for."""
    named = as_input(path)
    if isinstance(named, Path) and named.is_dir():
        yield from find_files([named])
    else:
        yield named


def engine_of(model: str | Path | None) -> Engine:
    """The model that a user names, loaded once."""
    with LOADING:  # else each of several threads would load it
        return _loaded(model)


@lru_cache(MODELS_KEPT)
def _loaded(model: str | Path | None) -> Engine:
    return open_engine(model)
