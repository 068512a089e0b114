"""Tagging against a plain reference: one window at a time, numpy and soundfile only."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiotag.audio.in_memory import Samples, Sound
from audiotag.errors import AudioError
from audiotag.label_set import Label, Labels
from audiotag.tagging.load import load_tagger
from audiotag.tagging.results import Tag
from audiotag.tagging.tag import TagOptions, best_tags, embed_files, tag_file, tag_files

RATE = 32_000
DURATIONS = (10.0, 0.3, 25.0, 2.0, 3.7, 10.0, 41.5, 9.99, 1.0, 20.0, 12.3)


class Loudness:
    """A stand-in for a model: logits from loudness, roughness and length of the waveform."""

    sample_rate, min_duration, name, is_gpu = RATE, 2.0, "loudness", False
    window = None
    labels = Labels([Label("loud", "/m/1"), "rough", "long", "quiet"])
    thresholds = None

    def logits(self, waveforms: np.ndarray) -> np.ndarray:
        loud = 20 * np.sqrt(np.square(waveforms).mean(1)) - 3
        rough = 40 * np.abs(np.diff(waveforms)).mean(1) - 2
        long = np.full_like(loud, waveforms.shape[1] / RATE / 10)
        return np.stack([loud, rough, long, -loud], axis=1)

    def score_windows(self, waveforms: np.ndarray) -> np.ndarray:
        return sigmoid(self.logits(waveforms)).astype(np.float32)

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        return self.logits(waveforms)[:, :3]


def sigmoid(x) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Recordings of many lengths whose loudness changes all the time."""
    random = np.random.default_rng(0)
    paths = []
    for i, seconds in enumerate(DURATIONS):
        time = np.arange(round(seconds * RATE)) / RATE
        level = 0.2 + 0.15 * np.sin(time + i)
        paths.append(tmp_path / f"{i:02}.wav")
        samples = level * random.uniform(-1, 1, len(time))
        soundfile.write(paths[-1], samples, RATE, subtype="FLOAT")
    return paths


def reference_windows(path: Path, window: float, hop: float) -> list[tuple[float, float, list]]:
    """(start, end, logits) of each window: last one moved back, short ones with silence to 2 s."""
    samples, rate = soundfile.read(path, dtype="float32")
    size, step = round(window * rate), round(hop * rate)
    starts = [0]
    while starts[-1] + size < len(samples):
        starts.append(min(starts[-1] + step, len(samples) - size))
    out = []
    for start in starts:
        part = samples[start : start + size]
        end = start + len(part)
        if len(part) < 2 * rate:
            part = np.concatenate([part, np.zeros(2 * rate - len(part), np.float32)])
        logits = Loudness().logits(part[None])[0]
        out.append((start / rate, end / rate, logits.tolist()))
    return out


def scores(tags: tuple[Tag, ...]) -> dict[str, float]:
    return {tag.label: tag.score for tag in tags}


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize(("window", "hop"), [(10.0, None), (4.0, 1.5), (1.0, 0.7)])
def test_scores_equal_those_of_one_window_at_a_time(files, pool, window, hop):
    options = TagOptions(window=window, hop=hop, pool=pool, timeline=True, batch_size=3)
    results = list(tag_files(Loudness(), files, options))
    assert [result.path for result in results] == [str(path) for path in files]
    for path, result in zip(files, results, strict=True):
        expected = reference_windows(path, window, hop or window)
        table = sigmoid([logits for _, _, logits in expected])
        pooled = table.max(axis=0) if pool == "max" else table.mean(axis=0)
        names = Loudness.labels.names
        assert scores(result.tags) == pytest.approx(dict(zip(names, pooled, strict=True)), abs=1e-5)
        assert result.duration == pytest.approx(soundfile.info(path).duration)
        assert len(result.segments) == len(expected)
        for segment, (start, end, logits) in zip(result.segments, expected, strict=True):
            assert (segment.start, segment.end) == pytest.approx((start, end))
            wanted = dict(zip(names, sigmoid(logits), strict=True))
            assert scores(segment.tags) == pytest.approx(wanted, abs=1e-5)


def test_batches_and_threads_do_not_change_scores(files):
    def tags(**options):
        return [scores(x.tags) for x in tag_files(Loudness(), files, TagOptions(**options))]

    alone = tags(batch_size=1, workers=1)
    for batched in (tags(batch_size=32, workers=4), tags()):
        assert batched == [pytest.approx(one, abs=1e-6) for one in alone]


def test_a_real_model_gives_the_same(tiny_tagger, files):
    options = TagOptions(top_k=0, batch_size=4)
    for path, result in zip(files[:4], tag_files(tiny_tagger, files[:4], options), strict=True):
        samples, _ = soundfile.read(path, dtype="float32")
        samples = np.pad(samples, (0, max(0, 3 * RATE - len(samples))))
        parts = [samples[:320_000], samples[-320_000:]]
        if len(samples) > 640_000:
            parts.append(samples[320_000:640_000])
        with torch.inference_mode():
            logits = [tiny_tagger(torch.from_numpy(part)[None])[0].numpy() for part in parts]
        expected = sigmoid(logits).max(axis=0)
        got = scores(result.tags)
        assert [got[name] for name in tiny_tagger.labels.names] == pytest.approx(expected, abs=1e-5)


def test_tags_are_sorted_cut_and_filtered():
    labels = Labels(["a", "b", "c", "d"])
    values = np.array([0.2, 0.9, 0.5, 0.5])

    def names(**options):
        return [tag.label for tag in best_tags(values, labels, TagOptions(**options))]

    assert names() == ["b", "c", "d", "a"]
    assert names(top_k=2) == ["b", "c"]
    assert names(top_k=0, threshold=0.5) == ["b", "c", "d"]
    assert names(top_k=1, threshold=0.1) == ["b"]
    assert names(threshold=0.95) == ["b"]  # a guess


def test_bad_files_are_reported_and_the_rest_is_tagged(files, tmp_path):
    empty = tmp_path / "empty.wav"
    empty.touch()
    text = tmp_path / "text.mp3"
    text.write_text("not a song\n" * 100)
    named = [files[0], empty, tmp_path / "missing.wav", files[1], text, tmp_path]
    results = list(tag_files(Loudness(), named))
    assert [result.error is None for result in results] == [True, False, False, True, False, False]
    for result in results:
        if result.error is not None:
            assert not result.error.startswith(result.path)
            assert (result.tags, result.duration) == ((), None)


def test_failure_midway_gives_an_error_and_no_tags(files, monkeypatch):
    from audiotag.audio import streams

    def torn(path, sample_rate, **settings):
        for i in range(40):
            if path == files[1] and i == 35:
                raise AudioError(f"{path}: torn at 35 s")
            yield np.full(sample_rate, 0.1, np.float32)

    monkeypatch.setattr(streams, "stream", torn)
    first, second, third = tag_files(Loudness(), files[:3], TagOptions(timeline=True))
    assert second.error == "torn at 35 s" and second.segments == ()
    assert first.tags == third.tags and len(first.segments) == 4


def test_scores_that_are_not_numbers_are_an_error(files):
    class Broken(Loudness):
        def score_windows(self, waveforms):
            return super().score_windows(waveforms) * np.nan

    (result,) = tag_files(Broken(), files[:1])
    assert "not numbers" in result.error


def test_tag_file_gives_or_raises(files, tmp_path):
    assert tag_file(Loudness(), files[0]).path == str(files[0])
    with pytest.raises(AudioError, match=r"missing\.wav: .*"):
        tag_file(Loudness(), tmp_path / "missing.wav")


def test_progress_hears_every_window(files):
    heard = []
    list(tag_files(Loudness(), files, progress=lambda path, end: heard.append((path, end))))
    for path in files:
        assert max(end for p, end in heard if p == path) == pytest.approx(
            soundfile.info(path).duration
        )


def test_impossible_options_are_refused(files):
    nan, inf = float("nan"), float("inf")
    impossible = [{"pool": "median"}, {"top_k": -1}, {"hop": 0}, {"threshold": nan}]
    impossible += [{name: x} for name in ("window", "hop") for x in (nan, inf, 1e308, -1.0)]
    for options in [*impossible, {"threshold": 1.5}, {"batch_size": 0}, {"workers": 0}]:
        with pytest.raises(ValueError, match=next(iter(options))):
            TagOptions(**options)


def test_embeddings_equal_those_of_one_window_at_a_time(files, tmp_path):
    named = [*files[:3], tmp_path / "missing.wav", files[3]]
    results = list(embed_files(Loudness(), named, TagOptions(window=4.0, hop=3.0)))
    assert results[3].error and results[3].duration is None
    for path, result in zip(files[:3], results, strict=False):
        expected = reference_windows(path, 4.0, 3.0)
        table = np.array([logits[:3] for _, _, logits in expected])
        assert result.starts == pytest.approx([start for start, _, _ in expected])
        np.testing.assert_allclose(result.windows, table, atol=1e-5)
        np.testing.assert_allclose(result.clip, table.mean(axis=0), atol=1e-5)


@pytest.mark.slow
def test_memory_is_bounded_however_long_a_file(tmp_path):
    class Quick(Loudness):
        def score_windows(self, waveforms):
            return waveforms[:, :4]

    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 8000, 1) as file:
        for _ in range(60):
            file.write(np.full(60 * 8000, 0.1, np.float32))
    tracemalloc.start()
    (result,) = tag_files(Quick(), [tmp_path / "hour.wav"], TagOptions(batch_size=2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.duration == pytest.approx(3600)
    assert peak < 45e6  # bytes; the hour is 461e6 at the model's rate, a window 1.3e6


def test_the_best_tag_is_given_as_a_guess_where_none_reaches_the_threshold():
    labels = Labels(["a", "b", "c"])
    scores = np.array([0.2, 0.4, 0.3])
    (guess,) = best_tags(scores, labels, TagOptions(threshold=0.5))
    assert guess == Tag("b", None, 0.4, guess=True)
    (guess,) = best_tags(scores, labels, TagOptions(top_k=0), np.array([0.9, 0.9, 0.9]))
    assert guess.label == "b" and guess.guess
    (heard,) = best_tags(scores, labels, TagOptions(), np.array([0.1, 0.9, 0.9]))
    assert heard == Tag("a", None, 0.2)  # what is best is not guessed beside what is heard
    assert not any(tag.guess for tag in best_tags(scores, labels, TagOptions(threshold=0)))


def test_only_the_labels_asked_for_are_given_and_none_is_guessed(make_wav, tmp_path):
    wav = make_wav(tmp_path / "a.wav", 1.0)
    every = tag_file(load_tagger(device="cpu"), wav, TagOptions(top_k=0, threshold=0)).tags
    for asked in ("dog", ["Dog"]):
        options = TagOptions(top_k=0, threshold=0, label=asked)
        tags = tag_file(load_tagger(device="cpu"), wav, options).tags
        below = {"Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling", "Whimper (dog)"}
        assert {tag.label for tag in tags} == below
        assert tags == tuple(tag for tag in every if tag.label in below)
    assert tag_file(load_tagger(device="cpu"), wav, TagOptions(threshold=1, label="Dog")).tags == ()
    with pytest.raises(ValueError, match="no label 'Dgo'; did you mean 'Dog'"):
        tag_file(load_tagger(device="cpu"), wav, TagOptions(label="Dgo"))


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_result_says_the_recording_s_own_rate(make_wav, tmp_path, rate):
    path = make_wav(tmp_path / "a.wav", 1.0, rate)
    assert tag_file(Loudness(), path).sample_rate == rate
    samples = Samples(rate, np.zeros((1, rate), np.float32))
    assert tag_file(Loudness(), Sound("x", samples)).sample_rate == rate
    assert tag_file(Loudness(), Sound("x", path.read_bytes())).sample_rate == rate
