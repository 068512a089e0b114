"""Pages of results for a browser: as many recordings as wanted, of a few sounds."""

from pathlib import Path

import numpy as np
import soundfile

from audiotag.features.spectrogram import spectrogram_of
from audiotag.tagging.formats import Surroundings, make_format
from audiotag.tagging.page_files import folder_beside
from audiotag.tagging.results import Event, FileTags, Tag

RATE = 16_000
LABELS = ("Dog", "Speech", "Rain", "Bird", "Vehicle")
SECONDS = 20.0


def made_page(folder: Path, count: int, others: tuple[FileTags, ...] = ()) -> Path:
    """A page of `count` recordings of 20 s; number i has the tag LABELS[i % 5] with two events, the
    first from 2 to 4 s and the second from 10 to 15 s, and the tag Music. Scores of the first rise
    with i, and so do durations in the results."""
    random = np.random.default_rng(0)
    sound = random.normal(0, 0.05, round(SECONDS * RATE)).astype(np.float32)
    soundfile.write(folder / "noise.wav", sound, RATE)
    picture = spectrogram_of([sound], RATE)
    page = folder / "tags.html"
    form = make_format("html", Surroundings(False, RATE, folder, page=page.name))
    with page.open("w", encoding="utf-8") as file:
        file.write(form.start())
        for i in range(count):
            file.write(form.add(_result(folder, i, count, picture if i < 50 else None)))
        for result in others:
            file.write(form.add(result))
        file.write(form.end())
    assert not folder_beside(page).exists()
    return page


def _result(folder, i, count, picture) -> FileTags:
    score = 0.1 + 0.8 * i / max(1, count - 1)
    label = LABELS[i % len(LABELS)]
    events = (
        Event(label, None, 2.0, 4.0, score, 3.0, score),
        Event("Music", None, 6.0, 7.0, 0.5, 6.5, 0.5),
        Event(label, None, 10.0, 15.0, score / 2, 12.0, score / 2),
    )
    tags = (Tag(label, None, score), Tag("Music", None, 0.5))
    path = f"{folder}/./{i:05}/../noise.wav"
    return FileTags(path, SECONDS, tags, events=events, spectrogram=picture)
