"""The functions of the package: what they give, from what, and to how many at once."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

import audiotag
from audiotag.errors import AudioError
from audiotag.tagging import from_python

SAMPLES = Path(str(files("audiotag") / "assets" / "samples"))
SOUNDS = sorted(path for path in SAMPLES.iterdir() if path.suffix != ".md")


@pytest.fixture
def wav(tmp_path) -> Path:
    """A stereo recording of two windows, at a rate that is not the model's."""
    rooster, rate = soundfile.read(SAMPLES / "rooster.wav", dtype="int16")
    long = np.resize(rooster, round(13.7 * rate))
    soundfile.write(tmp_path / "x.wav", np.stack([long, long[::-1] // 3], axis=1), rate)
    return tmp_path / "x.wav"


def test_tags_of_an_array_are_those_of_the_file_with_it(wav):
    options = {"timeline": True, "hop": 2.5, "top_k": 9, "threshold": 0.0}
    expected = audiotag.tag(wav, **options)
    assert len(expected.segments) == 3 and len(expected.tags) == 9
    for dtype in ("int16", "float32"):
        samples, rate = soundfile.read(wav, dtype=dtype)
        got = audiotag.tag(samples.T, sample_rate=rate, **options)
        last = audiotag.tag(samples, sample_rate=rate, channels_last=True, **options)
        for result in (got, last):
            assert (result.path, result.duration) == ("<array>", expected.duration)
            assert (result.tags, result.segments) == (expected.tags, expected.segments)


def test_a_tagger_takes_the_same(tiny_tagger, wav, tmp_path):
    tiny_tagger.save(tmp_path / "model")
    tagger = audiotag.load_tagger(tmp_path / "model", device="cpu")
    expected = scores_by_label(tagger.tag(wav))
    samples, rate = soundfile.read(wav, dtype="int16")
    for given in (wav.read_bytes(), str(wav)):
        assert scores_by_label(tagger.tag(given)) == pytest.approx(expected, abs=1e-6)
    found = scores_by_label(tagger.tag(samples.T, sample_rate=rate))
    assert found == pytest.approx(expected, abs=1e-6)


def scores_by_label(result):
    """In torch the last bits of a score may differ from one call to the next."""
    assert result.tags
    return {tag.label: tag.score for tag in result.tags}


@pytest.mark.parametrize("name", ["guitar.mp3", "car.ogg", "horse.flac", "crowd.wav"])
def test_bytes_and_file_objects_are_tagged_as_their_file(name):
    expected = audiotag.tag(SAMPLES / name)
    assert audiotag.tag((SAMPLES / name).read_bytes()).tags == expected.tags
    with (SAMPLES / name).open("rb") as file:
        assert audiotag.tag(file) == expected


def test_what_cannot_be_decoded_is_named():
    for audio, name in ((b"not a sound", "<bytes>"), (b"", "<bytes>"), ("no.wav", "no.wav")):
        with pytest.raises(AudioError, match=f"^{name}: "):
            audiotag.tag(audio)


def test_many_come_in_order_and_lazily_with_progress():
    read = []

    def paths():
        for path in SOUNDS * 30:
            read.append(path)
            yield path

    heard = []
    results = audiotag.tag_many(paths(), progress=lambda path, second: heard.append((path, second)))
    first = next(results)
    assert first == audiotag.tag(SOUNDS[0]) and len(read) < 100
    assert heard[0] == (str(SOUNDS[0]), first.duration)
    rest = [next(results).path for _ in SOUNDS[1:]]
    assert rest == [str(path) for path in SOUNDS[1:]]
    results.close()


def test_many_may_be_folders_and_bytes_and_fail_alone():
    many = [SAMPLES, "no.wav", SOUNDS[0].read_bytes(), SOUNDS[1]]
    results = list(audiotag.tag_many(many, top_k=1, threshold=0.0))
    names = [*map(str, SOUNDS), "no.wav", "<bytes>", str(SOUNDS[1])]
    assert [result.path for result in results] == names
    assert [result.path for result in results if result.error] == ["no.wav"]
    assert results[-2].tags == results[0].tags and len(results[0].tags) == 1
    assert [result.path for result in audiotag.tag_many(str(SOUNDS[0]))] == [str(SOUNDS[0])]


def test_wrong_options_of_many_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="top_k is -1"):
        audiotag.tag_many(iter([]), top_k=-1)


def test_embeddings_are_those_of_the_engine(wav):
    samples, rate = soundfile.read(wav, dtype="int16")
    found = audiotag.embed(samples.T, sample_rate=rate, window=5.0)
    other = audiotag.embed(wav, window=5.0)
    np.testing.assert_array_equal(found.windows, other.windows)
    assert found.starts == pytest.approx([0, 5, 8.7], abs=1e-3)
    np.testing.assert_allclose(found.clip, found.windows.mean(axis=0), rtol=1e-6)
    with pytest.raises(AudioError, match="no.wav: "):
        audiotag.embed("no.wav")


def test_labels_are_those_of_the_model(tiny_tagger, tmp_path):
    assert audiotag.labels() == audiotag.label_set.Labels.audioset()
    tiny_tagger.save(tmp_path)
    assert audiotag.labels(tmp_path) == tiny_tagger.labels


def test_eight_threads_share_one_model(monkeypatch):
    expected = [audiotag.tag(path) for path in SOUNDS]
    loaded = []
    together = threading.Barrier(8)

    def open_engine(model):
        loaded.append(model)
        return opened(model)

    def tags(number: int) -> list:
        together.wait(timeout=60)
        turned = SOUNDS[number:] + SOUNDS[:number]  # each begins with another file
        results = {path: audiotag.tag(path) for path in turned}
        return [results[path] for path in SOUNDS]

    opened = from_python.open_engine
    monkeypatch.setattr(from_python, "open_engine", open_engine)
    from_python._loaded.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(tags, range(8)))
    assert loaded == [None]
    assert len(expected) == 10 and all(result == expected for result in results)


def test_the_embedded_model_is_computed_without_torch():
    code = (
        "import sys, audiotag; audiotag.tag(sys.argv[1]); audiotag.labels(); "
        "audiotag.embed(sys.argv[1]); list(audiotag.tag_many(sys.argv[1:])); "
        "print({'torch', 'pyarrow', 'click'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code, str(SOUNDS[0])]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr
