"""The embedded default: there, small, documented, and as good as its card says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zero_shot

import audiotag
from audiotag.labels import Labels
from audiotag.locate import model_folder

CARD = (model_folder(None) / "README.md").read_text(encoding="utf-8")
SAMPLES = Path(audiotag.__file__).parent / "samples"
HEARD = {  # a tag that must be the first of a sample
    "guitar.mp3": "Music",
    "drum_roll.flac": "Music",
    "crowd.wav": "Speech",
}


def stated(name: str) -> float:
    """A figure of the card's table."""
    return float(re.search(rf"\| {re.escape(name)} \| ([\d.]+) \|", CARD).group(1))


def test_ships_under_ten_megabytes_with_audiosets_labels():
    folder = model_folder(None)
    assert (folder / "model.safetensors").stat().st_size < 10e6
    tagger = audiotag.load_tagger()
    assert tagger.labels == Labels.audioset()
    assert tagger.config.architecture.startswith("convnext_dcls_audio_")


def test_tells_music_from_speech_on_the_samples():
    tagger = audiotag.load_tagger(device="cpu")
    for name, label in HEARD.items():
        assert tagger.tag(SAMPLES / name).tags[0].label == label, name


def test_python_shortcut_gives_the_same_as_the_tagger():
    path = SAMPLES / "guitar.mp3"
    found, expected = audiotag.tag(path, top_k=3), audiotag.load_tagger().tag(path, top_k=3)
    for tag, reference in zip(found.tags, expected.tags, strict=True):  # two engines
        assert tag.label == reference.label
        assert tag.score == pytest.approx(reference.score, abs=1e-4)


def test_training_metrics_in_the_card_are_those_of_the_run():
    run = json.loads((model_folder(None) / "metrics.jsonl").read_text().splitlines()[-1])
    assert stated("teacher's tags on the development clips, mAP") == round(run["valid_map"], 3)


@pytest.mark.slow
def test_zero_shot_on_esc10_is_as_the_card_says(test_data):
    precision = zero_shot.class_average_precision(audiotag.load_tagger(), test_data / "esc10")
    figure = float(np.mean(list(precision.values())))
    assert figure >= 0.30
    assert figure == pytest.approx(stated("zero-shot on ESC-10, mAP"), abs=0.002)
