"""Tones of three pitches in folds, and a recipe that learns them."""

import numpy as np
import pytest
import soundfile

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.training.recipe.toml import dump_recipe, parse_recipe
from tests.support.tiny_models import TINY_LEARNER

PITCHES = (300, 1000, 3000)
RECIPE = {
    "model": {
        "architecture": "convnext_dcls_audio_atto",
        "args": TINY_LEARNER,
    },
    "data": {"crop_seconds": [1.5]},
    "optim": {"lr": 1e-2, "warmup_epochs": 1.0},
    "train": {"epochs": 2, "batch_size": 4, "task": "single", "metric": "valid_accuracy"},
}


def write_data(folder, count, folds, shift=0):
    """Noisy tones; the last `shift` of them are one fold on."""
    rng, rows = np.random.default_rng(0), ["path,label,fold"]
    for i in range(count):
        tone = np.sin(2 * np.pi * PITCHES[i % 3] * np.arange(48_000) / 32_000)
        noisy = 0.1 * tone + 0.01 * rng.standard_normal(48_000)
        soundfile.write(folder / f"{i}.wav", noisy, 32_000)
        fold = (i + (i >= count - shift)) % folds + 1 if folds else ""
        rows.append(f"{i}.wav,{PITCHES[i % 3]} Hz,{fold}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """18 noisy tones of three pitches in 2 folds."""
    return write_data(tmp_path_factory.mktemp("tones"), 18, 2)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    file.write_text(dump_recipe(parse_recipe(RECIPE)))
    return file
