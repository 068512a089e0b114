"""Several teachers: the mean of their logits where they know a label."""

import numpy as np
import pytest
import soxr
import torch

from audiotag.errors import RecipeError
from audiotag.label_set import Label, Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.training.distill.teachers import Teachers, load_others, mean_logits
from audiotag.training.recipe.toml import parse_recipe

CPU = torch.device("cpu")
LABELS = Labels([Label("Wren", "/m/1"), Label("Robin", "/m/2"), Label("Owl"), Label("Tit", "/m/4")])


def save_teacher(folder, labels, sample_rate=32_000, min_duration=2.0, **values):
    torch.manual_seed(len(labels))
    arguments = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
    front_end = {"sample_rate": sample_rate, "n_mels": 32, "f_max": 7_000.0}
    config = ModelConfig(
        "convnext_audio_atto",
        labels,
        arguments,
        front_end_args=front_end,
        min_duration=min_duration,
        **values,
    )
    tagger = Model.create(config)
    torch.nn.init.normal_(tagger.backbone.head.fc.weight)
    tagger.save(folder)
    return tagger.eval()


def test_labels_are_matched_by_audiosets_id_or_else_by_name(tmp_path):
    names = [Label("Owl"), Label("Troglodytes", "/m/1"), Label("Robin", "/m/9"), Label("Rook")]
    other = save_teacher(tmp_path, Labels(names))
    waveform, logits = 0.1 * torch.randn(2, 64_000), torch.randn(2, 4)
    with torch.inference_mode():
        mean = mean_logits(logits, waveform, 32_000, load_others([str(tmp_path)], LABELS, CPU))
        theirs = other(waveform)
    expected = logits.clone()
    expected[:, 0] = (logits[:, 0] + theirs[:, 1]) / 2
    expected[:, 2] = (logits[:, 2] + theirs[:, 0]) / 2
    torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-4)


def test_a_further_teacher_counts_by_its_weight(tmp_path):
    other = save_teacher(tmp_path, LABELS)
    waveform, logits = 0.1 * torch.randn(2, 64_000), torch.randn(2, 4)
    others = load_others([str(tmp_path)], LABELS, CPU, weight=0.25)
    with torch.inference_mode():
        mean = mean_logits(logits, waveform, 32_000, others)
        expected = 0.8 * logits + 0.2 * other(waveform)
    torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-4)


def test_each_counts_as_much_and_hears_its_own_sample_rate_and_length(tmp_path):
    taggers = [
        save_teacher(tmp_path / "a", LABELS),
        save_teacher(tmp_path / "b", LABELS, 16_000, min_duration=3.0),
    ]
    time = np.arange(64_000) / 32_000
    tone = 0.3 * np.sin(2 * np.pi * 1000 * time) + 0.1 * np.sin(2 * np.pi * 250 * time)
    tone = tone.astype(np.float32)
    at_16_khz = np.pad(soxr.resample(tone, 32_000, 16_000), (0, 16_000))
    others = load_others([str(tmp_path / "a"), str(tmp_path / "b")], LABELS, CPU)
    logits = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    with torch.inference_mode():
        mean = mean_logits(logits, torch.from_numpy(tone)[None], 32_000, others)
        theirs = [
            taggers[0](torch.from_numpy(tone)[None]),
            taggers[1](torch.from_numpy(at_16_khz)[None]),
        ]
    torch.testing.assert_close(mean, (logits + sum(theirs)) / 3, rtol=0.02, atol=0.02)
    assert (theirs[0] - theirs[1]).abs().max() > 0.1


def test_the_first_teacher_hears_its_own_sample_rate(tmp_path):
    teacher = save_teacher(tmp_path, LABELS, 16_000)
    waveform = np.random.default_rng(0).standard_normal(96_000).astype(np.float32)
    waveform = soxr.resample(soxr.resample(waveform, 32_000, 8_000), 8_000, 32_000)
    heard = torch.from_numpy(waveform)[None]
    teachers = Teachers(teacher, (), (), 1.0, sample_rate=32_000, shares_front_end=False)
    with torch.inference_mode():
        answer = teachers.answer(heard, teachers.features(heard)).scores
        expected = teacher(torch.from_numpy(soxr.resample(waveform, 32_000, 16_000))[None])
        wrong = teacher(heard)
    torch.testing.assert_close(answer, expected.sigmoid(), rtol=0.02, atol=0.02)
    torch.testing.assert_close(teachers.scores(heard), answer)
    assert (wrong.sigmoid() - answer).abs().max() > 0.1


def test_what_cannot_teach_is_refused(tmp_path):
    save_teacher(tmp_path / "a", Labels(["Rook"]))
    with pytest.raises(RecipeError, match="knows none of the teacher's labels"):
        load_others([str(tmp_path / "a")], LABELS, CPU)
    save_teacher(tmp_path / "b", LABELS, softmax=True)
    with pytest.raises(RecipeError, match="gives each clip one label"):
        load_others([str(tmp_path / "b")], LABELS, CPU)
    with pytest.raises(RecipeError, match=r"go beside a distill\.teacher"):
        parse_recipe({"distill": {"scores": ["x.npz"], "other_teachers": ["y"]}})
