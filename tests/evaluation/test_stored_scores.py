"""Distillation from stored scores: as live ones where they must agree, and mixed as labels are."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional as F

from audiotag.cli import cli
from audiotag.data.dataset import ClipDataset
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import DataError
from audiotag.evaluation.stored_scores import read_scores
from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.training import loop
from audiotag.training.batches import draws
from audiotag.training.batches import prepare as prepare_micro_batch
from audiotag.training.losses import loss_of
from audiotag.training.recipe.toml import parse_recipe
from audiotag.training.setup import start
from tests.support.tiny_models import TINY_LEARNER
from tests.support.tones import PITCHES

CPU = torch.device("cpu")


def run_command(*words):
    return CliRunner().invoke(cli, [*map(str, words)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 noisy tones as long as the shortest clip that is scored as it is."""
    folder = tmp_path_factory.mktemp("tones")
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(24):
        wave = 0.3 * np.sin(2 * np.pi * PITCHES[i % 3] * np.arange(96_000) / 32_000)
        wave += 0.02 * rng.standard_normal(len(wave))
        soundfile.write(folder / f"{i}.wav", wave, 32_000)
        rows.append(f"{i}.wav,{PITCHES[i % 3]},{'valid' if i % 4 == 0 else 'train'}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    """A model whose scores are far from one half, with the data set's labels."""
    torch.manual_seed(7)
    labels = Labels(json.loads((data / "labels.json").read_text()))
    tagger = Model.create(ModelConfig("convnext_dcls_audio_atto", labels, model_args=TINY_LEARNER))
    nn.init.normal_(tagger.backbone.head.fc.weight)
    nn.init.zeros_(tagger.backbone.head.fc.bias)
    folder = tmp_path_factory.mktemp("teacher") / "model"
    tagger.save(folder)
    return folder


@pytest.fixture(scope="module")
def files(data, teacher, tmp_path_factory):
    """What `audiotag evaluate --scores` writes of the training and the validation clips."""
    folder = tmp_path_factory.mktemp("scores")
    for split in ("train", "valid"):
        words = ("--split", split, "--scores", folder / f"{split}.npz", "--resamples", 0)
        result = run_command("evaluate", teacher, data, *words)
        assert result.exit_code == 0, result.output
    return [str(folder / "train.npz"), str(folder / "valid.npz")]


def recipe(distill, **sections):
    values = {
        "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY_LEARNER},
        "data": {"crop_seconds": [3.0]},  # the whole clips
        "optim": {"lr": 1e-4, "warmup_epochs": 0.0},
        "train": {"epochs": 2, "batch_size": 6},
        "distill": {"temperature": 2.0} | distill,
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return parse_recipe(values)


@pytest.mark.parametrize("weight", [0.7, 1.0])
def test_stored_and_live_scores_of_whole_clips_teach_the_same(
    data, teacher, files, tmp_path, weight
):
    # Where labels are learnt too, it is them that validation goes by.
    sources = {"teacher": str(teacher)}, {"scores": files if weight == 1 else files[:1]}
    settings = [recipe(source | {"weight": weight}) for source in sources]
    live, stored = (start(x, data, CPU) for x in settings)
    for draw in draws(live, 0, 0):
        expected, ours = (prepare_micro_batch(run, draw) for run in (live, stored))
        assert torch.equal(ours.waveform, expected.waveform)
        assert expected.answer.scores.std() > 0.1
        torch.testing.assert_close(ours.answer.scores, expected.answer.scores, rtol=1e-4, atol=1e-6)
    rows = [
        [json.loads(line) for line in (run / "metrics.jsonl").open()]
        for run in (loop.train(x, data, tmp_path / str(i), CPU) for i, x in enumerate(settings))
    ]
    for expected, ours in zip(*rows, strict=True):
        for key in ("train_loss", "valid_loss", "valid_map"):
            assert ours[key] == pytest.approx(expected[key], rel=1e-3)


def test_balance_and_the_new_head_start_from_the_stored_scores(data, teacher, files):
    sections = {"data": {"balance": 0.5}}
    live, stored = (
        start(recipe(x, **sections), data, CPU)
        for x in ({"teacher": str(teacher)}, {"scores": files})
    )
    torch.testing.assert_close(stored.weights, live.weights, rtol=1e-3, atol=0)
    biases = [x.student.tagger.backbone.head.fc.bias for x in (stored, live)]
    torch.testing.assert_close(*biases, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("source", ["live", "stored"])
def test_mixup_blends_scores_as_it_does_labels(data, teacher, files, monkeypatch, source):
    distill = {"teacher": str(teacher)} if source == "live" else {"scores": files}
    augment, train = {"mixup_alpha": 0.8}, {"label_smoothing": 0.1}
    settings = recipe(distill | {"weight": 0.9}, augment=augment, train=train)
    run = start(settings, data, CPU)
    run.student.tagger.eval()
    batch = prepare_micro_batch(run, next(draws(run, 0, 0)))
    monkeypatch.setattr(torch, "_standard_gamma", lambda *_, **__: torch.tensor([3.0, 1.0]))

    def blended(x):
        return 0.75 * x + 0.25 * x.flip(0)

    with torch.no_grad():
        logits = Model.load(teacher)(batch.waveform)
        student = run.student.tagger.backbone(blended(run.student.tagger.features(batch.waveform)))
        taught, hard = torch.sigmoid(logits / 2), batch.targets * 0.9 + 0.1 / 3
        softened = F.binary_cross_entropy(torch.sigmoid(student / 2), blended(taught))
        labelled = F.binary_cross_entropy(torch.sigmoid(student), blended(hard))
        expected = 0.9 * 4 * softened + 0.1 * labelled
        torch.testing.assert_close(loss_of(run, batch), expected, rtol=1e-4, atol=1e-6)


def test_clips_that_are_added_up_have_the_scores_of_both(data, files):
    run = start(recipe({"scores": files}, augment={"mix_prob": 1.0}), data, CPU)
    draw = next(draws(run, 0, 0))
    batch = prepare_micro_batch(run, draw)
    alone = run.training.scores[draw.clips]
    both = torch.maximum(alone[:, None], alone)
    for row, candidates in zip(batch.answer.scores, both, strict=True):
        assert (row == candidates).all(1).any()
    assert (batch.answer.scores > alone).any()


def test_clips_without_labels_are_scored_and_taught(data, teacher, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(data, bare)
    table = pq.read_table(bare / "index.parquet")
    values = table.to_pydict() | {"labels": [[]] * len(table)}
    pq.write_table(table.from_pydict(values, table.schema), bare / "index.parquet")
    paths = [str(tmp_path / f"{split}.npz") for split in ("train", "valid")]
    for path, split, clips in zip(paths, ("train", "valid"), (18, 6), strict=True):
        result = run_command("evaluate", teacher, bare, "--split", split, "--scores", path)
        assert result.exit_code == 0
        assert result.stdout == f"{path}: scores of {clips} clips without labels\n"
    run = loop.train(recipe({"scores": paths}), bare, tmp_path / "run", CPU)
    assert Model.load(run).labels == Model.load(teacher).labels
    result = run_command("evaluate", teacher, bare, "--split", "valid")
    assert "nothing to measure" in str(result.exception)


def test_files_that_do_not_do_are_named(data, files, tmp_path):
    clips = ClipDataset(data, "valid")
    with pytest.raises(DataError, match=r"train.npz: no scores of 6 of 6 clips, .* first; write"):
        read_scores(files[:1]).of(clips)
    with np.load(files[0]) as file:
        arrays = dict(file)

    def written(name, **changes):
        np.savez(tmp_path / name, **arrays | changes)
        return str(tmp_path / name)

    shares = np.full((18, 3), 1 / 3)
    for path, message in (
        (written("one.npz", scores=shares), "add up to 1"),
        (
            written("two.npz", labels=np.array(["a", "b"])),
            r"\(18, 3\) scores are not those of 18 clips and 2",
        ),
        (str(data / "labels.json"), "cannot be read as scores"),
        (str(tmp_path / "none.npz"), "none.npz cannot be read as scores"),
    ):
        with pytest.raises(DataError, match=message):
            read_scores([path])
    with pytest.raises(DataError, match="three.npz has other labels than .*train.npz"):
        read_scores([files[0], written("three.npz", labels=np.array(["a", "b", "c"]))])
    with pytest.raises(DataError, match="cannot be read as scores"):
        np.savez(tmp_path / "y.npz", keys=arrays["keys"])
        read_scores([str(tmp_path / "y.npz")])


def test_scores_of_clips_that_sound_otherwise_are_not_learnt(data, files, tmp_path):
    clips = ClipDataset(data, "train")
    with np.load(files[0]) as file:
        arrays = dict(file)
    stored = read_scores(files[:1])
    assert np.array_equal(stored.of(clips), arrays["scores"])
    # Another preparation: the same keys, of which two stand for each other's sounds.
    other = tmp_path / "other"
    shutil.copytree(data, other)
    table = pq.read_table(other / "index.parquet")
    values = table.to_pydict()
    first, second = (values["key"].index(key) for key in clips.keys[:2].tolist())
    for name in ("offset", "length", "sha256"):
        column = values[name]
        column[first], column[second] = column[second], column[first]
    pq.write_table(table.from_pydict(values, table.schema), other / "index.parquet")
    message = f"2 of 18 clips, {clips.keys[0]} first, sounded otherwise when they were scored"
    with pytest.raises(DataError, match=message):
        start(recipe({"scores": files}), other, CPU)
    # A file of an older version, which does not say how its clips sounded, goes by their keys.
    del arrays["sounds"]
    np.savez(tmp_path / "old.npz", **arrays)
    assert len(read_scores([str(tmp_path / "old.npz")]).of(ClipDataset(other, "train"))) == 18
