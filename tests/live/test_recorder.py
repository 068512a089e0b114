"""Recordings of events, beside the sound that was heard."""

import numpy as np
import pytest
import soundfile

from audiotag.live.listen import Heard, Listener, Over, Told
from audiotag.live.recorder import Recorder, RecordOptions
from audiotag.live.sources import Arrays
from audiotag.live.watch import Doing, watch
from audiotag.tagging.tag import TagOptions
from tests.live.conftest import RATE

MEOW = TagOptions(events=True, label="Meow")


def recorded(engine, cats, options: RecordOptions) -> list:
    """All news of a source that is recorded."""
    source = Arrays((cats[i : i + 1600] for i in range(0, len(cats), 1600)), RATE, "garden: 1/2")
    reports: list[str] = []
    news = list(watch(engine, [source], MEOW, Doing(record=options), reports.append))
    assert reports == []
    return news


def notices(news: list) -> list[str]:
    return [item.to_dict()["file"] for item in news if getattr(item, "kind", "") == "recorded"]


def test_a_recording_is_the_sound_of_its_event_with_seconds_around_it(engine, cats, tmp_path):
    news = recorded(engine, cats, RecordOptions(tmp_path, before=1.5, after=1.0))
    files = sorted(tmp_path.iterdir())
    assert sorted(notices(news)) == [str(file) for file in files]
    assert len(files) == 2 and all(" Meow garden_ 1_2.flac" in file.name for file in files)
    ends = [x for x in news if getattr(x, "kind", "") == "end"]
    for file, event, second in zip(files, ends, (4, 10), strict=True):
        sound, rate = soundfile.read(file)
        assert rate == engine.sample_rate
        assert len(sound) / rate == pytest.approx(event.duration + 2.5, abs=0.05)
        energy = np.convolve(sound**2, np.ones(rate // 10), "same")
        cat = cats[second * RATE : (second + 1) * RATE].astype(float)
        assert np.sqrt((sound**2).sum() / rate) == pytest.approx(
            np.sqrt((cat**2).sum() / RATE), rel=0.02
        )  # all of the cat
        assert energy[:rate].max() < 1e-3 * energy.max()  # silence before it
        assert file.name.startswith(event.start.strftime("%Y%m%dT%H%M%S."))


def test_a_long_event_is_recorded_no_longer_than_it_may_be(engine, cats, tmp_path):
    options = RecordOptions(tmp_path, before=1.0, after=5.0, longest=2.0)
    for file in notices(recorded(engine, cats, options)):
        assert soundfile.info(file).duration == pytest.approx(2.0, abs=0.01)


def test_the_oldest_recordings_are_removed_and_no_other_file(engine, cats, tmp_path):
    (tmp_path / "20200101T000000.000 Dog mic.flac").write_bytes(bytes(1000))
    (tmp_path / "notes.flac").write_bytes(bytes(1000))
    news = recorded(engine, cats, RecordOptions(tmp_path, most=1))
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"notes.flac", notices(news)[-1].rpartition("/")[2]}


def test_what_goes_on_at_the_end_of_a_session_is_kept(engine, cats, tmp_path):
    recorder = Recorder(RecordOptions(tmp_path, before=0.0, after=30.0))
    sound = cats[: 5 * RATE]
    listener = Listener(engine, [Arrays([sound], RATE)], MEOW, kept=60.0)
    files = []
    for news in listener.news():
        if isinstance(news, Told):
            recorder.note(news.session, news.event)
        elif isinstance(news, Heard | Over):
            files += recorder.heard(news.session, getattr(news, "end", None))
    assert len(files) == 1
    assert soundfile.info(files[0].text).duration == pytest.approx(1.0, abs=0.5)


def test_a_full_disk_is_said_and_the_listening_goes_on(engine, cats, tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audiotag.runtime.files.os.replace", lambda *_: full(0))
    source = Arrays((cats[i : i + 1600] for i in range(0, len(cats), 1600)), RATE)
    reports: list[str] = []
    doing = Doing(record=RecordOptions(tmp_path))
    news = list(watch(engine, [source], MEOW, doing, reports.append))
    assert len(reports) == 2 and "cannot be written (No space left on device)" in reports[0]
    assert [x.kind for x in news if not isinstance(x, Heard)][-1] == "ended"
    assert not list(tmp_path.iterdir())
