"""A step of training against one written out, its number formats, and the ways it ends."""

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch.nn import functional as F

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.errors import ModelError, RecipeError
from audiotag.evaluation.evaluate import EvaluationPlan, evaluate
from audiotag.models.model import Model
from audiotag.training import batches, loop
from audiotag.training.batches import draws
from audiotag.training.batches import prepare as prepare_micro_batch
from audiotag.training.losses import divergence, label_loss
from audiotag.training.recipe.toml import dump_recipe, parse_recipe
from audiotag.training.setup import start
from audiotag.training.validation import validate
from tests.support.tiny_models import TINY_LEARNER
from tests.support.tones import PITCHES
from tests.support.torchrun import launch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 noisy tones of three pitches, named by them, a third of them for validation."""
    folder = tmp_path_factory.mktemp("tones")
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(24):
        wave = 0.3 * np.sin(2 * np.pi * PITCHES[i % 3] * np.arange(48_000) / 32_000)
        wave += 0.02 * rng.standard_normal(len(wave))
        soundfile.write(folder / f"{i}.wav", wave, 32_000)
        rows.append(f"{i}.wav,{PITCHES[i % 3]},{'valid' if i % 4 == 0 else 'train'}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


def recipe(optim=None, **train):
    """No randomness but the order of the clips."""
    return parse_recipe(
        {
            "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY_LEARNER},
            "data": {"crop_seconds": [1.5]},
            "optim": {"lr": 3e-3, "warmup_epochs": 1.0} | (optim or {}),
            "train": {"epochs": 2, "batch_size": 6, "label_smoothing": 0.0} | train,
        }
    )


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["multi", "single"])
def test_steps_are_those_of_a_plain_loop(data, tmp_path, task):
    """Clipping, schedule, groups, accumulation and the running average, written out here."""
    settings = recipe(
        {"clip_grad": 0.3}, ema_decay=0.9, micro_batch=2, task=task, label_smoothing=0.1
    )
    run = start(settings, data, CPU)
    model, features = run.student.tagger.backbone.train(), run.student.tagger.features
    groups = {"weights": [], "vectors": [], "positions": []}
    for name, parameter in model.named_parameters():
        kind = "vectors" if parameter.ndim <= 1 or name.endswith("bias") else "weights"
        groups["positions" if name.endswith((".P", ".SIG")) else kind].append(parameter)
    decays = {"weights": 0.05, "vectors": 0.0, "positions": 0.0}
    optimizer = torch.optim.AdamW(
        [{"params": groups[kind], "weight_decay": decays[kind]} for kind in groups], lr=0.1
    )
    average = {name: p.detach().clone() for name, p in model.state_dict().items()}
    for step in range(6):
        cosine = (1 + np.cos(np.pi * (step - 3) / 3)) / 2
        rate = 1e-3 * step if step < 3 else 1e-6 + (3e-3 - 1e-6) * cosine
        for group, scale in zip(optimizer.param_groups, (1, 1, 5), strict=True):
            group["lr"] = rate * scale
        drawn = [x for x in draws(run, step // 3, step) if x.step == step]
        of_step = [prepare_micro_batch(run, x) for x in drawn]
        clips = torch.cat([x.clips for x in of_step])
        targets = torch.from_numpy(run.training.targets.rows(clips.numpy()))
        logits = model(features(torch.cat([x.waveform for x in of_step])))
        if task == "single":
            loss = F.cross_entropy(logits, targets.argmax(1), label_smoothing=0.1)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, targets * 0.9 + 0.1 / 3)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimizer.step()
        for name, tensor in model.state_dict().items():
            average[name] = tensor.clone() if step == 0 else 0.9 * average[name] + 0.1 * tensor
    saved = Model.load(loop.train(settings, data, tmp_path / "run", CPU))
    for name, tensor in saved.backbone.state_dict().items():
        torch.testing.assert_close(tensor, average[name], rtol=1e-3, atol=1e-4, msg=name)


def test_softmax_loss_is_that_of_torch():
    torch.manual_seed(0)
    logits, classes = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    targets = F.one_hot(classes, 4).float()
    torch.testing.assert_close(label_loss(logits, targets, True), F.cross_entropy(logits, classes))
    both = torch.tensor([[1.0, 1.0, 0.0, 0.0]])  # two clips were added: each is half of it
    expected = -(logits[:1].log_softmax(1)[0, :2]).mean()
    torch.testing.assert_close(label_loss(logits[:1], both, True), expected)


def test_divergence_from_a_teachers_scores_is_that_from_its_logits():
    torch.manual_seed(0)
    logits, teacher = torch.randn(5, 7), 4 * torch.randn(5, 7) - 5
    expected = F.kl_div(logits.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    torch.testing.assert_close(divergence(logits, teacher.sigmoid()), expected)
    assert divergence(teacher, teacher.sigmoid()).abs() < 1e-5
    sure = torch.tensor([[0.0, 1.0, 0.0]])  # scores that single precision has rounded
    assert divergence(torch.zeros(1, 3), sure).isfinite()


def test_task_is_found_in_the_data(data):
    assert start(recipe(task="auto"), data, CPU).student.is_single
    assert not start(recipe(), data, CPU).student.is_single
    run = start(recipe(task="auto"), data, CPU)
    logits = run.student.tagger.eval()(run.validation.clips.heads(torch.arange(6), 1.5))
    expected = logits.argmax(1) == torch.from_numpy(
        run.validation.targets.rows(np.arange(6)).argmax(1)
    )
    assert validate(run).accuracy == pytest.approx(float(expected.float().mean()))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_other_number_formats_end_near_single_precision(data, tmp_path, precision):
    runs = [
        loop.train(recipe({"clip_grad": 1.0}, precision=x), data, tmp_path / x, CPU)
        for x in ("fp32", precision)
    ]
    ours, expected = (Model.load(run).backbone.state_dict() for run in runs)
    begun = start(recipe(), data, CPU).student.tagger.backbone.state_dict()
    change = [torch.cat([(x[k] - begun[k]).flatten() for k in begun]) for x in (ours, expected)]
    assert 0 < (change[0] - change[1]).norm() < 0.3 * change[1].norm()


@pytest.mark.slow
def test_compiled_steps_are_those_of_eager_ones(data, tmp_path):
    ours, expected = (
        Model.load(loop.train(recipe(compile=x, epochs=1), data, tmp_path / str(x), CPU))
        for x in (True, False)
    )
    reference = expected.backbone.state_dict()
    for name, tensor in ours.backbone.state_dict().items():
        torch.testing.assert_close(tensor, reference[name], rtol=1e-3, atol=1e-4, msg=name)


def test_clips_of_a_loss_that_is_no_number_are_named(data, tmp_path, monkeypatch):
    """The waveform of one clip is made infinite, as no decoder does."""
    settings = recipe(micro_batch=2)
    run = start(settings, data, CPU)
    poisoned = next(x for x in draws(run, 0, 0) if x.step == 1 and x.number == 1)

    def poison(run, draw):
        batch = prepare_micro_batch(run, draw)
        if torch.equal(draw.clips, poisoned.clips):
            batch.waveform.fill_(float("inf"))
        return batch

    monkeypatch.setattr(batches, "prepare", poison)
    keys = ", ".join(run.training.keys[i] for i in poisoned.clips.tolist())
    with pytest.raises(RecipeError, match=f"at step 1, clips {re.escape(keys)};"):
        loop.train(settings, data, tmp_path / "run", CPU)


@pytest.mark.parametrize("where", ["start", "train_step"])
def test_memory_that_does_not_do_names_what_to_lower(data, tmp_path, monkeypatch, where):
    def no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, where, no_room)
    with pytest.raises(ModelError, match=r"lower train.micro_batch \(now 2\)"):
        loop.train(recipe(micro_batch=2), data, tmp_path / "a", CPU)
    with pytest.raises(ModelError, match=r"\(now a process's share of train.batch_size, 6\)"):
        loop.train(recipe(), data, tmp_path / "b", CPU)


@pytest.mark.slow
def test_several_processes_give_one_message(data, tmp_path):
    wild = recipe({"lr": 1e30, "warmup_epochs": 0.0}, micro_batch=3)
    (tmp_path / "recipe.toml").write_text(dump_recipe(wild))
    done = launch(2, tmp_path / "recipe.toml", data, tmp_path / "run")
    lines = [line for line in done.stderr.splitlines() if "Error: the loss" in line]
    assert done.returncode != 0 and len(lines) == 1, done.stderr[-3000:]


def test_scores_of_a_softmax_model_add_up_to_one_wherever_it_runs(data, tmp_path):
    saved = loop.train(recipe(task="single"), data, tmp_path / "run", CPU)
    tagger = Model.load(saved)
    wave = np.float32(0.1) * np.random.default_rng(0).standard_normal((2, 64_000)).astype("f4")
    expected = torch.softmax(tagger(torch.from_numpy(wave)), 1).detach().numpy()
    np.testing.assert_allclose(tagger.score_windows(wave), expected, atol=1e-6)
    (found,) = evaluate(EvaluationPlan((str(saved),), data, split="valid")).evaluations
    assert found.accuracy == pytest.approx(rows_of(saved)[-1]["valid_accuracy"])
    assert found.mean_average_precision == pytest.approx(rows_of(saved)[-1]["valid_map"])
    with pytest.raises(RecipeError, match="gives each clip one label"):
        distilled = {"model": {"architecture": "convnext_dcls_audio_atto"}}
        distilled["distill"] = {"teacher": str(saved)}
        loop.train(parse_recipe(distilled), data, tmp_path / "student", CPU)


def test_single_label_training_needs_one_label_a_clip(data, tmp_path):
    table = pq.read_table(data / "index.parquet").to_pydict()
    table["labels"][5] = ["300", "1000"]
    shutil.copytree(data, tmp_path / "data")
    pq.write_table(
        pa.Table.from_pydict(table, pq.read_schema(data / "index.parquet")),
        tmp_path / "data" / "index.parquet",
    )
    assert not start(recipe(task="auto"), tmp_path / "data", CPU).student.is_single
    for train in ({"task": "single"}, {"task": "auto", "metric": "valid_accuracy"}):
        with pytest.raises(RecipeError, match="label"):
            start(recipe(**train), tmp_path / "data", CPU)
