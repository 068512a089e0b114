"""Live sound from a program: `audiotag.listen`."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypedDict, Unpack

from audiotag.live.listen import listen as listen_to
from audiotag.live.news import LiveEvent, Notice
from audiotag.live.sources import Arrays, Source, parse_source
from audiotag.runtime.keywords import check_keywords
from audiotag.tagging.from_python import engine_of
from audiotag.tagging.tag import TagOptions

KEYWORDS = ("model", "sample_rate", "on_notice")


class ListenKeywords(TypedDict, total=False):
    """The fields of `TagOptions` that matter to live events."""

    top_k: int
    threshold: float | None
    label: str | list[str]
    window: float | None
    hop: float | None
    go_on: float
    bridged: float


def listen(
    source: str | Iterable[Any],
    model: str | Path | None = None,
    *,
    sample_rate: float | None = None,
    on_notice: Callable[[Notice], None] | None = None,
    **options: Unpack[ListenKeywords],
) -> Iterator[LiveEvent]:
    """Events of live sound, each as it begins and as it ends.

    Args:
        source: `mic`, `mic:DEVICE`, an address, a named pipe, or `-`, as for `audiotag listen`; or
            an iterable of arrays, one piece of sound after another, (T,) or (channels, T), int16 or
            floating point in [-1, 1]; or an iterable of such names, which are heard at once.
        model: As for `tagging.open.open_engine`; stays loaded, as for `audiotag.tag`.
        sample_rate: Hz, of arrays.
        on_notice: Called when a source is connected, lost or has a gap.
        options: Fields of `TagOptions`.

    Raises:
        ModelError, HubError: As `open_engine`.
        TypeError, ValueError: If there is no such source, or an option is unknown or impossible.

    Example:
        >>> import audiotag, soundfile
        >>> sound, rate = soundfile.read("cat.mp3")
        >>> pieces = (sound[i : i + 4800] for i in range(0, len(sound), 4800))
        >>> for event in audiotag.listen(pieces, sample_rate=rate, label="Meow"):
        ...     print(event.kind, event.label)
        begin Meow
        end Meow
    """
    check_keywords("listen", options, [*ListenKeywords.__annotations__, *KEYWORDS])
    checked = TagOptions(events=True, **options)
    return listen_to(engine_of(model), _sources(source, sample_rate), checked, on_notice)


def _sources(source: str | Iterable[Any], sample_rate: float | None) -> list[Source]:
    if isinstance(source, str):
        return [parse_source(source, None)]
    if sample_rate is not None:
        return [Arrays(source, sample_rate)]
    names = list(source) if isinstance(source, list | tuple) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError("give names of sources, or arrays with their sample_rate")
    return [parse_source(name, None) for name in dict.fromkeys(names)]
