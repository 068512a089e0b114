"""Listening, on arrays and on streams from the loopback, beside the events of the same file."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import audiotag
from audiotag.errors import AudioError
from audiotag.live import listen as module
from audiotag.live.listen import Heard, Listener, Over, Told
from audiotag.live.news import Notice
from audiotag.live.sources import Address, Arrays
from audiotag.tagging.tag import TagOptions, tag_file
from tests.live.conftest import RATE
from tests.support.live_server import LiveServer, Stream

CATS = TagOptions(events=True, label="Cat")
PATIENCE = 60.0  # s, for a busy machine


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.1)


def pieces(sound: np.ndarray, size: int = 1600):
    return (sound[i : i + size] for i in range(0, len(sound), size))


def heard(listener: Listener, is_enough=lambda news: False) -> list:
    """All news until there are enough."""
    found, end = [], time.monotonic() + PATIENCE
    for news in listener.news():
        found.append(news)
        if is_enough(found) or time.monotonic() > end:
            break
    return found


def events(news: list, kind: str) -> list:
    return [item.event for item in news if isinstance(item, Told) and item.event.kind == kind]


def notices(news: list) -> list[str]:
    return [f"{x.kind} {x.text}".strip() for x in news if isinstance(x, Notice)]


def test_events_are_those_of_the_same_sound_in_a_file(engine, cats, tmp_path):
    soundfile.write(tmp_path / "cats.wav", cats, RATE, subtype="FLOAT")
    expected = tag_file(engine, tmp_path / "cats.wav", CATS).events
    news = heard(Listener(engine, [Arrays(pieces(cats), RATE)], CATS))
    ends, first = events(news, "end"), events(news, "begin")[0].start
    assert len(events(news, "begin")) == len(ends) == len(expected) > 3
    origin = expected[0].start
    told = sorted((x.label, (x.start - first).total_seconds(), x.duration, x.score) for x in ends)
    there = sorted((x.label, x.start - origin, x.end - x.start, x.score) for x in expected)
    for one, other in zip(told, there, strict=True):
        assert one[0] == other[0]
        assert one[1:] == pytest.approx(other[1:], abs=1e-3)
    assert notices(news) == ["connected", "ended"]
    assert sum(isinstance(item, Over) for item in news) == 1


def test_a_sound_shorter_than_a_window_is_told_at_its_end(engine, cats, tmp_path):
    sound = cats[4 * RATE :][: RATE // 2]
    soundfile.write(tmp_path / "cat.wav", sound, RATE, subtype="FLOAT")
    expected = sorted(event.label for event in tag_file(engine, tmp_path / "cat.wav", CATS).events)
    news = heard(Listener(engine, [Arrays([sound], RATE)], CATS))
    assert sorted(event.label for event in events(news, "begin")) == expected
    assert sorted(event.label for event in events(news, "end")) == expected
    assert "Meow" in expected


def test_each_event_begins_before_it_ends_and_once_at_a_time(engine, cats):
    going = set()
    for news in heard(Listener(engine, [Arrays(pieces(cats), RATE)], CATS)):
        if isinstance(news, Told):
            assert (news.event.label in going) is (news.event.kind == "end")
            going ^= {news.event.label}
    assert not going


@pytest.mark.parametrize("form", ["mp3", "ogg", "flac", "wav"])
def test_a_stream_of_the_web_is_heard(engine, encoded, form):
    with LiveServer([Stream(encoded(form))]) as server:
        listener = Listener(engine, [Address(f"{server.url}/radio")], CATS)
        news = heard(listener, lambda found: "lost" in str(notices(found)))
    labels = [event.label for event in events(news, "end")]
    assert labels.count("Meow") == 2
    assert notices(news)[0] == "connected"
    assert notices(news)[1].startswith("lost it broke off; trying again in ")


def test_a_stream_that_breaks_off_is_asked_for_again_and_may_be_of_another_format(engine, encoded):
    streams = [
        Stream(encoded("mp3", 16_000, 8)),
        Stream(b"", status=503),
        Stream(encoded("wav", 44_100, 8), "audio/wav"),
        Stream(b"<html>please log in</html>", "text/html", holds=True),
    ]
    with LiveServer(streams) as server:
        listener = Listener(engine, [Address(server.url)], CATS)
        news = heard(listener, lambda found: len(notices(found)) >= 6)
    assert [event.label for event in events(news, "end")].count("Meow") == 2
    assert [text.split()[0] for text in notices(news)[:6]] == [
        "connected",
        "lost",
        "lost",
        "connected",
        "lost",
        "lost",
    ]
    assert "503" in notices(news)[2] or "Server" in notices(news)[2]


def test_waits_grow_and_secrets_are_in_no_notice(engine):
    with LiveServer([Stream(b"", status=403)]) as server:
        url = server.url.replace("//", "//user:secret@") + "/live?token=secret"
        listener = Listener(engine, [Address(url)], CATS)
        news = heard(listener, lambda found: len(notices(found)) >= 4)
    news = [item for item in news if isinstance(item, Notice)]
    assert all(isinstance(item, Notice) and item.kind == "lost" for item in news)
    assert "secret" not in str([item.to_dict() for item in news])
    times = [item.time for item in news]
    gaps = [(b - a).total_seconds() for a, b in zip(times, times[1:], strict=False)]
    assert gaps[2] > gaps[1] > 0.1


@pytest.mark.parametrize("scheme", ["file://", ""])
def test_a_playlist_cannot_make_it_read_a_file(engine, encoded, tmp_path, scheme):
    (tmp_path / "cats.mp3").write_bytes(encoded("mp3"))
    listed = f"#EXTM3U\n#EXT-X-TARGETDURATION:16\n#EXTINF:16,\n{scheme}{tmp_path}/cats.mp3\n"
    playlist = Stream(listed.encode() + b"#EXT-X-ENDLIST\n", "application/vnd.apple.mpegurl")
    with LiveServer([playlist]) as server:
        listener = Listener(engine, [Address(f"{server.url}/live.m3u8")], CATS)
        news = heard(listener, lambda found: len(notices(found)) >= 2)
    assert not events(news, "begin") and not any(isinstance(item, Heard) for item in news)


def test_a_playlist_of_the_web_is_heard(engine, encoded):
    listed = "#EXTM3U\n#EXT-X-TARGETDURATION:16\n#EXTINF:16,\n/cats.mp3\n#EXT-X-ENDLIST\n"
    streams = [Stream(listed.encode(), "application/vnd.apple.mpegurl"), Stream(encoded("mp3"))]
    with LiveServer(streams) as server:
        listener = Listener(engine, [Address(f"{server.url}/live.m3u8")], CATS)
        news = heard(listener, lambda found: len(events(found, "end")) >= 4)
    assert "Meow" in [event.label for event in events(news, "begin")]


def test_several_sources_are_heard_at_once_and_one_that_fails_stops_no_other(engine, cats, encoded):
    with LiveServer([Stream(encoded("mp3"), rate=4000.0)]) as server:
        sources = [
            Address(f"{server.url}/slow"),
            Address("http://127.0.0.1:1/nothing"),
            Arrays(pieces(cats), RATE, "a program"),
        ]
        listener = Listener(engine, sources, CATS)
        news = heard(
            listener, lambda found: "lost" in str(notices(found)) and len(events(found, "end")) >= 4
        )
    assert {event.source for event in events(news, "end")} >= {"a program"}
    assert any(isinstance(x, Notice) and x.source.endswith(":1/nothing") for x in news)


def test_stopping_ends_what_goes_on(engine, cats):
    """A source that goes on after the first cat has begun, silent."""
    stopping = threading.Event()

    def endless():
        yield from pieces(cats[: 5 * RATE])
        stopping.wait(PATIENCE)

    listener = Listener(engine, [Arrays(endless(), RATE)], CATS, stopping=stopping)
    found = []
    for news in listener.news():
        found.append(news)
        if events(found, "begin"):
            stopping.set()
    begun = {event.label for event in events(found, "begin")}
    assert begun and {event.label for event in events(found, "end")} == begun


def test_a_computer_that_is_too_slow_says_so(engine, encoded, monkeypatch):
    monkeypatch.setattr(module, "WAITING", 3)

    class Slow:
        def __getattr__(self, name):
            return getattr(engine, name)

        def score_windows(self, waveforms):
            time.sleep(0.3)
            return engine.score_windows(waveforms)

    with LiveServer([Stream(encoded("mp3"))]) as server:
        listener = Listener(Slow(), [Address(server.url)], CATS)
        news = heard(listener, lambda found: "too long" in str(found) or len(notices(found)) >= 2)
    assert any(module.TOO_SLOW in text for text in notices(news))


def test_an_error_of_a_pipe_ends_it_and_is_said(engine):
    class Broken(Arrays):
        def blocks(self, sample_rate, warn):
            yield np.zeros(1600, np.float32)
            raise AudioError("the pipe broke")

    news = heard(Listener(engine, [Broken([], RATE)], CATS))
    assert notices(news) == ["connected", "lost the pipe broke"]


def test_from_python_names_and_arrays_are_taken(cats):
    notes: list[Notice] = []
    found = list(
        audiotag.listen(pieces(cats), sample_rate=RATE, label="Cat", on_notice=notes.append)
    )
    assert [event.label for event in found].count("Meow") == 4
    assert [note.kind for note in notes] == ["connected", "ended"]
    with pytest.raises(ValueError, match="there is no nowhere; listen to mic"):
        audiotag.listen("nowhere")
    with pytest.raises(TypeError, match="give names of sources, or arrays with their sample_rate"):
        audiotag.listen(pieces(cats))
    with pytest.raises(TypeError, match="did you mean 'threshold'"):
        audiotag.listen("mic", treshold=0.5)


def test_a_pipe_of_audio_is_heard_as_it_comes(engine, encoded, tmp_path):
    import os

    from audiotag.live.sources import Pipe

    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    threading.Thread(target=lambda: Path(fifo).write_bytes(encoded("wav")), daemon=True).start()
    news = heard(Listener(engine, [Pipe(str(fifo))], CATS))
    assert [event.label for event in events(news, "end")].count("Meow") == 2
