"""Tagging: audio files in, tags or embeddings out, each file as soon as it is ready."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np

from audiotag.audio import windows
from audiotag.audio.in_memory import Input, Sound, name_of
from audiotag.audio.sources import Listening
from audiotag.errors import AudioError
from audiotag.label_set import Labels
from audiotag.models.engine import Engine
from audiotag.runtime.keywords import check_keywords
from audiotag.tagging import events
from audiotag.tagging.decoding import Decoder
from audiotag.tagging.event_options import EventOptions
from audiotag.tagging.events import EventFinder
from audiotag.tagging.pipeline import Computed, Ended, compute_windows
from audiotag.tagging.results import FileEmbedding, FileTags, Segment, Tag

POOLS = ("max", "mean")
BATCH_SIZES = {"cpu": 8, "cuda": 32}  # windows; more is hardly faster and costs memory
LITTLE = 1e-6  # seconds, less than a sample
MAX_WORKERS = {"cpu": 4, "cuda": 16}  # decoding is some 100 times faster than a CPU model
DEFAULT_THRESHOLD = 0.5  # at which an event begins, of a model that has no thresholds
NO_AUDIO = "there is no audio in it"
NOT_FINITE = "the model's scores are not numbers; its weights may be damaged"
Progress = Callable[[Input, float], None]
Result = TypeVar("Result", FileTags, FileEmbedding)


@dataclass(frozen=True)
class TagOptions:
    """How to tag.

    Attributes:
        top_k: Tags for each file and segment at most; 0 for all.
        threshold: Lowest score of a tag; if None, the model's own threshold of each class, if it
            has them. If no tag reaches it, the best one is given as a guess, unless `label` is set.
        label: Only these labels, and those below them in AudioSet's ontology; if empty, all.
        window: Length of a window in seconds; a file is scored window by window. A window shorter
            than the model takes is followed by silence; of a model that takes windows of one
            length alone they are no longer than that. If None, 10, or 2 to find events.
        hop: Seconds from one window's start to the next; if None, `window`, or a quarter of it to
            find events.
        timeline: Give the tags of each window too.
        events: Find when each sound begins and ends. Windows then overlap, and go over both ends of
            the recording.
        go_on: As of `EventOptions`, as the next two.
        bridged: Seconds.
        shortest: Seconds.
        spectrogram: Draw the recording's spectrogram too.
        pool: A file's score is the "max" of its windows' scores, or their "mean".
        batch_size: Windows computed at once; if None, it depends on the device.
        workers: Files decoded at once; if None, it depends on the device and the CPU cores.
        track: Number of the audio track, from 1; if None, the one that players play.
        channel: Number of the channel, from 1; if None, the mean of all.
    """

    top_k: int = 5
    threshold: float | None = None
    label: str | Sequence[str] = ()
    window: float | None = None
    hop: float | None = None
    timeline: bool = False
    events: bool = False
    go_on: float = EventOptions.go_on
    bridged: float = EventOptions.bridged
    shortest: float = EventOptions.shortest
    spectrogram: bool = False
    pool: str = "max"
    batch_size: int | None = None
    workers: int | None = None
    track: int | None = None
    channel: int | None = None

    def __post_init__(self) -> None:
        names = (self.label,) if isinstance(self.label, str) else tuple(self.label)
        object.__setattr__(self, "label", names)
        if self.pool not in POOLS:
            raise ValueError(f"pool is {self.pool!r}; choose one of {', '.join(POOLS)}")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; give 0 for all tags, or more")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it must be from 0 to 1")
        for name in ("window", "hop"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= windows.MAX_SECONDS:
                raise ValueError(
                    f"{name} is {value}; it must be above 0, {windows.MAX_SECONDS} at most"
                )
        for name in ("batch_size", "workers", "track", "channel"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0")
        EventOptions(self.go_on, self.bridged, self.shortest)  # raises
        if self.events and self.step > self.length:
            raise ValueError(f"hop is {self.hop}; to find events it must be {self.length} at most")

    @property
    def length(self) -> float:
        """Seconds of a window."""
        if self.window is not None:
            return self.window
        return events.WINDOW if self.events else windows.WINDOW

    @property
    def step(self) -> float:
        """Seconds from one window's start to the next."""
        if self.hop is not None:
            return self.hop
        return self.length * events.HOP / events.WINDOW if self.events else self.length


class TagKeywords(TypedDict, total=False):
    """The fields of `TagOptions` as keyword arguments."""

    top_k: int
    threshold: float | None
    label: str | Sequence[str]
    window: float | None
    hop: float | None
    timeline: bool
    events: bool
    go_on: float
    bridged: float
    shortest: float
    spectrogram: bool
    pool: str
    batch_size: int | None
    workers: int | None
    track: int | None
    channel: int | None


class EmbedKeywords(TypedDict, total=False):
    """The fields of `TagOptions` that matter to embeddings."""

    window: float | None
    hop: float | None
    batch_size: int | None
    workers: int | None
    track: int | None
    channel: int | None


def options_from(function: str, keywords: TagKeywords, others: Iterable[str] = ()) -> TagOptions:
    """The options in the keyword arguments of a function that also takes `others`.

    Raises:
        TypeError: If one is unknown; names the function and the most similar option.
        ValueError: If a value is invalid.
    """
    check_keywords(function, keywords, [*TagKeywords.__annotations__, *others])
    return TagOptions(**keywords)


def tag_files(
    engine: Engine,
    files: Iterable[Input],
    options: TagOptions = TagOptions(),
    progress: Progress | None = None,
) -> Generator[FileTags, None, None]:
    """Tags of each file, in order; the result of a file that fails has an error.

    Args:
        engine: The model.
        files: The files; the iterable is read a little ahead, in another thread.
        options: How to tag.
        progress: Called after each window with its file and its end in seconds.

    Raises:
        ModelError: If the windows are shorter than the model takes, or a batch does not fit into
            memory.
        ValueError: If the model has none of the classes of a label in the options.
    """
    among = np.array(engine.labels.within(options.label)) if options.label else None
    pool = _Pool(engine, options, among)
    for event in _windows(engine, files, engine.score_windows, options):
        if isinstance(event, Computed):
            pool.add(event)
            if progress:
                progress(event.path, event.end)
        else:
            yield pool.result(event)
            pool = _Pool(engine, options, among)


def tag_file(
    engine: Engine, path: str | Path | Sound, options: TagOptions = TagOptions()
) -> FileTags:
    """Tags of one file.

    Raises:
        AudioError: If it cannot be decoded.
        ModelError: As `tag_files`.
    """
    return _only(tag_files(engine, [_input(path)], options))


def embed_files(
    engine: Engine,
    files: Iterable[Input],
    options: TagOptions = TagOptions(),
    progress: Progress | None = None,
) -> Generator[FileEmbedding, None, None]:
    """Embeddings of each file and its windows, in order; arguments and errors as `tag_files`."""
    computed: list[Computed] = []
    for event in _windows(engine, files, engine.embed_windows, options):
        if isinstance(event, Computed):
            computed.append(event)
            if progress:
                progress(event.path, event.end)
        else:
            yield _embedding(name_of(event.path), computed, event.error, event.warning)
            computed = []


def embed_file(
    engine: Engine, path: str | Path | Sound, options: TagOptions = TagOptions()
) -> FileEmbedding:
    """Embeddings of one file and its windows; errors as `tag_file`."""
    return _only(embed_files(engine, [_input(path)], options))


def _input(path: str | Path | Sound) -> Input:
    return Path(path) if isinstance(path, str) else path


def _only(results: Iterable[Result]) -> Result:
    """The result of a single file.

    Raises:
        AudioError: If it failed.
    """
    (result,) = results
    if result.error is not None:
        raise AudioError(f"{result.path}: {result.error}")
    return result


class _Pool:
    """Scores of one file, pooled window by window."""

    def __init__(self, engine: Engine, options: TagOptions, among: np.ndarray | None) -> None:
        self._engine, self._options, self._among = engine, options, among
        self._scores: np.ndarray | None = None  # (C,) highest so far, or sum in float64
        self._count = 0
        self._end = 0.0
        self._segments: list[Segment] = []
        self._finder = event_finder(engine, options, among) if options.events else None
        self._longest = 0.0  # seconds of the recording in a window

    def add(self, window: Computed) -> None:
        """Add the scores of one window."""
        heard = window.end - window.start
        if self._finder is not None:
            self._finder.add(window.values, window.start, window.end)
        self._end = max(self._end, window.end)
        if self._options.events and heard < self._longest - LITTLE:
            return  # silence outside the recording is no part of it
        if self._options.events and heard > self._longest + LITTLE:
            self._scores, self._count, self._longest = None, 0, heard
            self._segments.clear()
        self._pool(window)

    def _pool(self, window: Computed) -> None:
        scores = window.values
        if self._scores is None:
            self._scores = scores.astype(np.float64)
        elif self._options.pool == "max":
            self._scores = np.maximum(self._scores, scores)
        else:
            self._scores = self._scores + scores
        self._count += 1
        if self._options.timeline:
            self._segments.append(Segment(window.start, window.end, self._best(scores)))

    def result(self, ended: Ended) -> FileTags:
        """The file's tags, or its error."""
        path, error, warning = name_of(ended.path), ended.error, ended.warning
        if error is not None or self._scores is None:
            return FileTags(path, None, (), error=error or NO_AUDIO, warning=warning)
        scores = self._scores / (self._count if self._options.pool == "mean" else 1)
        if not np.isfinite(scores).all():
            return FileTags(path, None, (), error=NOT_FINITE, warning=warning)
        return FileTags(
            path,
            self._end,
            self._best(scores),
            tuple(self._segments),
            None if self._finder is None else self._finder.events(self._end),
            warning=warning,
            sample_rate=ended.about.sample_rate,
            spectrogram=ended.about.spectrogram,
        )

    def _best(self, scores: np.ndarray) -> tuple[Tag, ...]:
        engine = self._engine
        return best_tags(scores, engine.labels, self._options, engine.thresholds, self._among)


def begin_scores(engine: Engine, options: TagOptions) -> np.ndarray:
    """Score of each class at which an event begins, (C,)."""
    begin = engine.thresholds if options.threshold is None else options.threshold
    return np.broadcast_to(DEFAULT_THRESHOLD if begin is None else begin, len(engine.labels))


def event_finder(
    engine: Engine,
    options: TagOptions,
    among: np.ndarray | None,
    begin: np.ndarray | None = None,
) -> EventFinder:
    """A finder of the events of one recording.

    Args:
        engine: The model.
        options: How events are found.
        among: The classes that are looked for (N,); all if None.
        begin: Score of each class at which an event begins (C,); by the options if None.
    """
    return EventFinder(
        engine.labels,
        begin_scores(engine, options) if begin is None else begin,
        EventOptions(options.go_on, options.bridged, options.shortest),
        *window_lengths(engine, options),
        at_once=options.top_k,
        among=among,
    )


def best_tags(
    scores: np.ndarray,
    labels: Labels,
    options: TagOptions,
    thresholds: np.ndarray | None = None,
    among: np.ndarray | None = None,
) -> tuple[Tag, ...]:
    """Tags of scores (C,), highest first, at most `top_k`.

    Scores below the threshold are left out: that of the options, or, without one, that of each
    class in `thresholds`. If none is left, the best one is given, as a guess.

    Args:
        scores: Scores of all classes (C,).
        labels: The classes.
        options: How to tag.
        thresholds: Thresholds of the classes (C,).
        among: The only classes (N,) to give, without guesses; if None, all.
    """
    lowest = thresholds if options.threshold is None else options.threshold
    order = np.argsort(-scores, kind="stable")
    if among is not None:
        order = order[np.isin(order, among)]
    heard = order if lowest is None else order[(scores >= lowest)[order]]
    is_guess = not len(heard) and among is None
    chosen = order[:1] if is_guess else heard[: options.top_k or None]
    return tuple(
        Tag(labels[i].name, labels[i].mid, float(scores[i]), is_guess) for i in chosen.tolist()
    )


def _embedding(
    path: str, computed: list[Computed], error: str | None, warning: str | None
) -> FileEmbedding:
    if error is not None or not computed:
        return FileEmbedding(path, None, error=error or NO_AUDIO, warning=warning)
    windows = np.stack([window.values for window in computed])
    if not np.isfinite(windows).all():
        return FileEmbedding(path, None, error=NOT_FINITE, warning=warning)
    return FileEmbedding(
        path=path,
        duration=computed[-1].end,
        clip=windows.mean(axis=0),
        windows=windows,
        starts=np.array([window.start for window in computed]),
        warning=warning,
    )


def _windows(
    engine: Engine,
    files: Iterable[Input],
    compute: Callable[[np.ndarray], np.ndarray],
    options: TagOptions,
) -> Iterator[Computed | Ended]:
    """Run a model over the windows of files."""
    device = "cuda" if engine.is_gpu else "cpu"
    return compute_windows(
        files,
        _decoder(engine, options),
        compute,
        batch_size=options.batch_size or BATCH_SIZES[device],
        workers=options.workers or min(os.cpu_count() or 1, MAX_WORKERS[device]),
    )


def window_lengths(engine: Engine, options: TagOptions) -> tuple[float, float]:
    """Length and hop of the windows: none is longer than the only ones that the model takes."""
    if engine.window is None or engine.window >= options.length:
        return options.length, options.step
    return engine.window, min(options.step, engine.window)


def _decoder(engine: Engine, options: TagOptions) -> Decoder:
    return Decoder(
        engine.sample_rate,
        *window_lengths(engine, options),
        minimum=engine.min_duration,
        listening=Listening(options.track, options.channel),
        is_surrounded=options.events,
        is_drawn=options.spectrogram,
    )
