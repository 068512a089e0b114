"""The embedded default: there, small, documented, and as good as its card says."""

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score

import audiotag
from audiotag.label_set import Labels
from audiotag.layers.dcls import DclsConv2d
from audiotag.models.config import read_config
from audiotag.models.model import Model
from audiotag.tagging.locate import model_folder

CARD = (model_folder(None) / "README.md").read_text(encoding="utf-8")
SAMPLES = Path(audiotag.__file__).parent / "assets" / "samples"
HEARD = {  # tags one of which must be the first of a sample
    "guitar.mp3": {"Music"},
    "drum_roll.flac": {"Music", "Drum"},
    "crowd.wav": {"Speech"},
    "cat.mp3": {"Cat", "Meow"},
    "rooster.wav": {"Chicken, rooster", "Fowl"},
    "baby_cry.mp3": {"Baby cry, infant cry"},
}


@pytest.fixture(scope="module")
def zero_shot():
    """The script beside the default's recipe, as a module."""
    path = Path(__file__).parents[2] / "recipes" / "default" / "zero_shot.py"
    spec = spec_from_file_location("default_zero_shot", path)
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stated(name: str) -> float:
    """A figure of the card's table."""
    return float(re.search(rf"\| {re.escape(name)} \| ([\d.]+) \|", CARD).group(1))


def test_ships_under_ten_megabytes_with_audiosets_labels():
    folder = model_folder(None)
    assert (folder / "model.safetensors").stat().st_size < 10e6
    tagger = audiotag.load_tagger()
    assert tagger.labels == Labels.audioset()
    stored = Model.load(folder)
    assert any(isinstance(module, DclsConv2d) for module in stored.modules())


def test_names_what_is_in_the_samples():
    tagger = audiotag.load_tagger(device="cpu")
    for name, labels in HEARD.items():
        assert tagger.tag(SAMPLES / name, threshold=0.0).tags[0].label in labels, name


def test_python_shortcut_gives_the_same_as_the_tagger():
    path = SAMPLES / "guitar.mp3"
    found, expected = audiotag.tag(path, top_k=3), audiotag.load_tagger().tag(path, top_k=3)
    assert found.tags
    for tag, reference in zip(found.tags, expected.tags, strict=True):  # two engines
        assert tag.label == reference.label
        assert tag.score == pytest.approx(reference.score, abs=1e-4)


def test_figures_of_what_is_shown_in_the_card_are_those_of_the_calibration():
    found = json.loads((model_folder(None) / "calibration.json").read_text())
    figures = ("right_shown", "precision", "recall", "guesses")
    cells = [f"**{found['level']:.3f}**"]
    for table in ("labelled", "esc10"):
        cells.append(f"{found[f'{table}_tags']:.2f}")
        cells += [f"{found[f'{table}_{name}'] + 1e-9:.3f}" for name in figures]
        assert f"{found[f'{table}_gap']:.3f}" in CARD
    assert f"| {' | '.join(cells)} |" in CARD
    config = read_config(model_folder(None))
    assert config.calibration.slope == pytest.approx(found["slope"], abs=1e-4)
    assert config.thresholds[Labels.audioset().index("Cat")] == pytest.approx(
        found["level"], abs=1e-4
    )
    assert f"times {found['slope']:.3f}, plus {found['bias']:.3f}" in CARD


def test_zero_shot_ranks_what_is_in_the_table(zero_shot, tmp_path, make_wav):
    """ESC-10's names stand for several of AudioSet's; pieces and rare classes are passed over."""
    rows = ["path,label,start"]
    for i in range(9):
        make_wav(tmp_path / f"{i}.wav", 2.0 + 0.1 * i, frequency=200.0 * (i + 1))
        rows.append(f"{i}.wav,{'Music;Speech' if i % 2 else 'rooster'},")
    rows += ["0.wav,Bark,", "1.wav,Music,1.5"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    found = zero_shot.read_table(tmp_path / "table.csv")
    assert found.classes == ("Music", "Speech", "rooster") and len(found.paths) == 10
    tagger = audiotag.load_tagger(device="cpu")
    scores = [
        {tag.label: tag.score for tag in tagger.tag(path, top_k=0, threshold=0.0).tags}
        for path in found.paths
    ]
    rooster = [max(x["Chicken, rooster"], x["Crowing, cock-a-doodle-doo"]) for x in scores]
    values = [*([x[name] for x in scores] for name in found.classes[:2]), rooster]
    expected = [
        average_precision_score(truth, of_class)
        for truth, of_class in zip(found.targets.T, values, strict=True)
    ]
    np.testing.assert_allclose(zero_shot.precisions(tagger, found), expected, atol=1e-9)


def test_silence_and_noise_are_called_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    white = rng.standard_normal(320_000)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)).clip(1)))
    sounds = {"silence": 0 * white, "short silence": np.zeros(100)}
    for level in (-90, -60, -40, -20, -10):
        sounds[f"white {level}"] = 10 ** (level / 20) * white
        sounds[f"pink {level}"] = 10 ** (level / 20) * pink / pink.std()
        sounds[f"3 s, {level}"] = 10 ** (level / 20) * white[:96_000]
    allowed = {"Silence", "Noise", "White noise", "Pink noise", "Static"}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 32_000)
        tags = audiotag.tag(tmp_path / f"{name}.wav").tags
        assert tags and {tag.label for tag in tags} <= allowed, (name, tags)


@pytest.mark.slow
def test_zero_shot_on_esc10_is_as_the_card_says(zero_shot, test_data):
    recordings = zero_shot.read_table(test_data / "esc10" / "esc10.csv")
    figure = float(zero_shot.precisions(audiotag.load_tagger(), recordings).mean())
    assert figure == pytest.approx(stated("zero-shot on ESC-10, mAP"), abs=0.002)
