"""The training loop on tiny models: it learns, resumes to the same bits, and follows a teacher."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from audiotag.data.dataset import ClipDataset
from audiotag.data.prepare.prepare import prepare
from audiotag.data.shards import hash_keys
from audiotag.data.sources.csv_table import CsvSource
from audiotag.data.summary import summarise
from audiotag.errors import DataError, ModelError, RecipeError
from audiotag.evaluation.evaluate import EvaluationPlan, evaluate
from audiotag.label_set import Labels
from audiotag.layers.dcls import DclsConv2d
from audiotag.models.config import ModelConfig
from audiotag.models.folder import WEIGHTS_FILE
from audiotag.models.model import Model
from audiotag.models.provenance import read_trained_on
from audiotag.runtime.version import __version__
from audiotag.tagging.load import load_tagger
from audiotag.training import batches, loop, model, saver
from audiotag.training.batches import draws
from audiotag.training.losses import loss_of
from audiotag.training.recipe.toml import load_recipe, parse_recipe
from audiotag.training.run_folder.state import STATE_FILE
from audiotag.training.setup import start
from tests.support.made_recordings import rows_of

CPU = torch.device("cpu")
TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32], "ls_init_value": 0.1}
PITCHES = (300, 1000, 3000)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 noisy tones of three pitches, named by them, a third of them for validation."""
    folder = tmp_path_factory.mktemp("tones")
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(24):
        pitch, split = PITCHES[i % 3], "valid" if i % 4 == 0 else "train"
        time = np.arange(64_000 if i % 2 else 80_000) / 32_000
        wave = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{i}.wav", wave, 32_000)
        rows.append(f"{i}.wav,pitch {pitch},{split}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


def recipe(**sections):
    """A recipe that is over in seconds, with sections changed."""
    values = {
        "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY},
        "data": {"crop_seconds": [1.5, 2.0]},
        "augment": {"gain_db": 3.0, "speed_prob": 0.5, "mixup_alpha": 0.8},
        "optim": {"lr": 3e-3, "warmup_epochs": 1.0, "clip_grad": 1.0},
        "train": {"epochs": 3, "batch_size": 6, "ema_decay": 0.9},
    }
    for name, section in sections.items():
        values[name] = section if "init" in section else values.get(name, {}) | section
    return parse_recipe(values)


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run that has learned the three pitches."""
    plain = {"mixup_alpha": 0.0, "speed_prob": 0.0}
    train = {"epochs": 40, "label_smoothing": 0.0, "save_every": 20, "ema_decay": 0.5}
    folder = tmp_path_factory.mktemp("trained") / "run"
    return loop.train(recipe(augment=plain, train=train), data, folder, CPU)


@pytest.mark.slow
def test_learns_three_pitches_and_evaluates_them(data, trained):
    rows = metrics(trained)
    assert [row["epoch"] for row in rows] == [20, 40]
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]
    (result,) = evaluate(EvaluationPlan((str(trained),), data, split="valid")).evaluations
    assert result.clips == 6
    assert result.accuracy == 1.0 and result.mean_average_precision == 1.0
    assert {x.name for x in result.classes} == {f"pitch {p}" for p in PITCHES}


def test_a_run_says_which_clips_it_is_of(data, trained):
    noted = read_trained_on(trained)
    summary = {part.name: part for part in summarise(data).splits}
    assert noted.name == data.name
    for part, expected in ((noted.train, summary["train"]), (noted.valid, summary["valid"])):
        assert (part.clips, part.keys) == (expected.clips, expected.keys)
        assert part.hours == pytest.approx(expected.hours)
    assert (noted.train.clips, noted.valid.clips) == (18, 6)
    assert noted.valid.hash == hash_keys(ClipDataset(data, "valid").hashes)


def test_rows_say_which_weights_they_are_of(data, trained):
    rows = {row["step"]: row for row in metrics(trained)}
    weights = (trained / "checkpoints" / f"step{max(rows):09d}.safetensors").read_bytes()
    assert rows[max(rows)]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert rows[min(rows)]["weights_sha256"] != rows[max(rows)]["weights_sha256"]
    for row in rows.values():
        assert row["data"] == hash_keys(ClipDataset(data, "valid").hashes)
        assert (row["split"], row["audiotag"]) == ("valid", __version__) and "fold" not in row


class Killed(Exception):
    """Stands for a kill between two checkpoints."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"train": {"precision": "fp16"}},
        {"optim": {"name": "lamb"}},
        {"distill": {"embedding_weight": 1.0}, "augment": {"mixup_alpha": 0.0}},
        {
            "distill": {"layers": "stages.*", "blockwise_epochs": 1.5},
            "augment": {"mixup_alpha": 0.0},
        },
    ],
    ids=str,
)
def test_resumed_run_ends_in_the_same_bits(data, trained, tmp_path, monkeypatch, sections):
    if "distill" in sections:
        sections = sections | {"distill": sections["distill"] | {"teacher": str(trained)}}
    changed = recipe(**sections)
    whole = loop.train(changed, data, tmp_path / "whole", CPU)
    partly, epochs = tmp_path / "partly", iter(range(9))

    def die_in_the_second(run):
        if next(epochs) == 1:
            raise Killed
        return validate(run)

    validate = saver.validate
    monkeypatch.setattr(saver, "validate", die_in_the_second)
    with pytest.raises(Killed):
        loop.train(changed, data, partly, CPU)
    monkeypatch.undo()
    assert len(metrics(partly)) == 1
    with (partly / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99}\n{"torn')  # what a kill may leave
    loop.train(changed, data, partly, CPU, resume=True)
    for name in ("model.safetensors", "state.safetensors"):
        ours, expected = load_file(partly / name), load_file(whole / name)
        assert all(torch.equal(ours[key], expected[key]) for key in expected), name
    timed = {"clips_per_second", "data_wait", "time"}
    assert [{k: v for k, v in row.items() if k not in timed} for row in metrics(partly)] == [
        {k: v for k, v in row.items() if k not in timed} for row in metrics(whole)
    ]


def test_an_epochs_end_is_saved_where_it_is_not_validated(data, tmp_path, monkeypatch):
    def die(run):
        raise Killed

    monkeypatch.setattr(saver, "validate", die)
    every_epoch = recipe(train={"epochs": 2, "save_every": 2, "save_steps": 3})
    with pytest.raises(Killed):
        loop.train(every_epoch, data, tmp_path / "run", CPU)
    with safe_open(tmp_path / "run" / STATE_FILE, framework="pt") as file:
        assert json.loads(file.metadata()["step"]) == 3  # 18 clips, 6 a step


def test_run_folder_is_never_overwritten_and_another_recipe_is_not_resumed(data, tmp_path):
    run = loop.train(recipe(train={"epochs": 1}), data, tmp_path / "run", CPU)
    with pytest.raises(DataError, match="add --resume"):
        loop.train(recipe(), data, run, CPU)
    other = recipe(model={"args": TINY | {"dims": [8, 8, 8, 16]}})
    with pytest.raises(RecipeError, match=r"not with model.args.dims = \[8, 8, 8, 16\] \(it began"):
        loop.train(other, data, run, CPU, resume=True)
    less_memory = recipe(train={"epochs": 1, "micro_batch": 1})
    loop.train(less_memory, data, run, CPU, resume=True)
    assert load_recipe(run / "recipe.toml") == less_memory
    (run / STATE_FILE).write_bytes(b"{}")
    with pytest.raises(ModelError, match="cannot be resumed"):
        loop.train(less_memory, data, run, CPU, resume=True)


def test_a_run_that_was_never_begun_is_begun_where_it_is_to_be_resumed(data, tmp_path):
    one = recipe(train={"epochs": 1})
    runs = [loop.train(one, data, tmp_path / f"{x}", CPU, resume=x) for x in (False, True)]
    weights = [(run / WEIGHTS_FILE).read_bytes() for run in runs]
    assert weights[0] == weights[1]


def test_where_a_run_cannot_begin_nothing_is_left(tmp_path):
    out = tmp_path / "made" / "run"
    with pytest.raises(DataError):
        loop.train(recipe(), tmp_path / "no data", out, CPU)
    assert not list(tmp_path.iterdir())


def test_a_data_set_is_no_place_for_a_run(data):
    before = sorted(data.iterdir())
    with pytest.raises(DataError, match="is a data set; choose another folder"):
        loop.train(recipe(train={"epochs": 1}), data, data, CPU)
    assert sorted(data.iterdir()) == before


@pytest.mark.slow
def test_student_learns_what_its_teacher_knows_without_labels(data, trained, tmp_path):
    distilled = recipe(
        distill={"teacher": str(trained)},
        augment={"mixup_alpha": 0.0, "speed_prob": 0.0},
        train={"epochs": 60, "save_every": 30, "ema_decay": 0.5},
        model={"args": TINY | {"dims": [8, 8, 16, 24]}},
    )
    run = loop.train(distilled, data, tmp_path / "run", CPU)
    losses = [row["valid_loss"] for row in metrics(run)]
    assert losses[1] < losses[0]
    (result,) = evaluate(EvaluationPlan((str(run),), data, split="valid")).evaluations
    assert result.accuracy == 1.0


def test_labels_that_the_teacher_hears_are_learnt_with_the_least_score(data, trained):
    plain = {"mixup_alpha": 0.0, "speed_prob": 0.0, "gain_db": 0.0}
    distilled = recipe(distill={"teacher": str(trained), "least_score": 0.99}, augment=plain)
    run = start(distilled, data, CPU)
    batch = batches.prepare(run, next(draws(run, 0, 0)))
    labels = torch.from_numpy(run.training.targets.rows(batch.clips.numpy()))
    with torch.no_grad():
        loss = loss_of(run, batch)
        logits = run.student.network(run.student.tagger.features(batch.waveform))
        taught = Model.load(trained)(batch.waveform).sigmoid()
    assert ((taught < 0.99) & (taught > 0.1) & (labels == 1)).any()
    aims = torch.where((labels == 1) & (taught > 0.03), taught.clamp(min=0.99), taught)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, aims)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    assert run.validation.targets is None  # the teacher alone is the measure


def test_a_least_score_needs_labels(data, trained, tmp_path):
    (tmp_path / "t.csv").write_text("path,label,split\na.wav,,train\nb.wav,,valid\n")
    for seed, name in enumerate("ab"):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(64_000)
        soundfile.write(tmp_path / f"{name}.wav", noise, 32_000)
    unlabelled = prepare(CsvSource(tmp_path / "t.csv"), tmp_path / "data")
    distilled = recipe(distill={"teacher": str(trained), "least_score": 0.5})
    with pytest.raises(RecipeError, match="no training clip has a label"):
        start(distilled, unlabelled, CPU)


@pytest.mark.slow
def test_student_learns_its_teachers_embeddings(data, trained, tmp_path):
    distilled = recipe(
        distill={"teacher": str(trained), "embedding_weight": 3.0},
        augment={"mixup_alpha": 0.0, "speed_prob": 0.0},
        train={"epochs": 60, "save_every": 60, "ema_decay": 0.5},
        model={"args": TINY | {"dims": [8, 8, 16, 24]}},
    )
    run = loop.train(distilled, data, tmp_path / "run", CPU)
    state = load_file(run / STATE_FILE)
    weight, bias = state["matching/projection.weight"], state["matching/projection.bias"]
    heard = start(distilled, data, CPU)
    with torch.inference_mode():
        learnt = heard.training.clips.heads(torch.arange(len(heard.training)), 1.5)
        teacher, student = Model.load(trained).eval(), Model.load(run).eval()
        mean, deviation = teacher.embed(learnt).mean(0), teacher.embed(learnt).std(0) + 1e-3
        unheard = heard.validation.clips.heads(torch.arange(len(heard.validation)), 2.0)
        told = student.embed(unheard) @ weight.T + bias
        apart = (told - (teacher.embed(unheard) - mean) / deviation).square().mean()
    assert apart < 0.5  # guessing the mean gives about 1


def test_any_layer_of_the_teacher_gives_what_it_gave_in_training(data, trained):
    layer = "stages.0.blocks.0.mlp.fc1"  # folding has it give what comes after the activation
    plain = {"mixup_alpha": 0.0, "speed_prob": 0.0}
    distilled = recipe(distill={"teacher": str(trained), "layers": layer}, augment=plain)
    run = start(distilled, data, CPU)
    waveform = run.training.clips.heads(torch.arange(3), 1.5)
    teacher = Model.load(trained)
    heard = teacher.features(waveform)
    maps = run.teachers.answer(waveform, heard).maps
    with torch.inference_mode():
        block = teacher.backbone.stages[0].blocks[0]
        mixed = block.conv_dw(teacher.backbone.stem(heard)).permute(0, 2, 3, 1)
        torch.testing.assert_close(maps[layer], block.mlp.fc1(block.norm(mixed)))


@pytest.mark.slow
@pytest.mark.parametrize("blockwise", [0.0, 30.0])
def test_student_learns_its_teachers_maps(data, trained, tmp_path, blockwise):
    hinted = {"layers": "stages.*", "layer_weight": 3.0, "blockwise_epochs": blockwise}
    distilled = recipe(
        distill={"teacher": str(trained)} | hinted,
        augment={"mixup_alpha": 0.0, "speed_prob": 0.0},
        train={"epochs": 60, "save_every": 60, "ema_decay": 0.5},
    )
    run = loop.train(distilled, data, tmp_path / "run", CPU)
    heard = start(distilled, data, CPU)
    unheard = heard.validation.clips.heads(torch.arange(len(heard.validation)), 2.0)
    teacher, student = (Model.load(folder).eval() for folder in (trained, run))
    theirs, ours = teacher.features(unheard), student.features(unheard)
    with torch.inference_mode():
        theirs, ours = teacher.backbone.stem(theirs), student.backbone.stem(ours)
        for before, after in zip(teacher.backbone.stages, student.backbone.stages, strict=True):
            theirs, ours = before(theirs), after(ours)
            spread = (theirs - theirs.mean((0, 2, 3), True)).square().mean()
            assert (ours - theirs).square().mean() < 0.5 * spread  # each channel's mean: 1


def test_finetuning_keeps_the_body_and_changes_the_head(data, tmp_path, tiny_tagger):
    tiny_tagger.save(tmp_path / "start")
    tuned = recipe(
        model={"init": str(tmp_path / "start")},
        train={"epochs": 1, "ema_decay": 0.0},
        optim={"lr": 0.0, "min_lr": 0.0},
    )
    tagger = Model.load(loop.train(tuned, data, tmp_path / "run", CPU))
    assert tagger.labels.names == tuple(sorted(f"pitch {p}" for p in PITCHES))
    ours, start = tagger.backbone.state_dict(), tiny_tagger.backbone.state_dict()
    assert all(torch.equal(ours[k], start[k]) for k in start if not k.startswith("head.fc"))
    assert ours["head.fc.weight"].shape[0] == 3
    # Each pitch is a third of the clips: the new head starts there.
    thirds = torch.full((3,), 1 / 3).logit()
    torch.testing.assert_close(ours["head.fc.bias"], thirds, rtol=0, atol=1e-5)

    again = recipe(
        model={"init": str(tmp_path / "run")},
        train={"epochs": 1, "ema_decay": 0.0},
        optim={"lr": 0.0, "min_lr": 0.0},
    )
    kept = Model.load(loop.train(again, data, tmp_path / "again", CPU)).backbone.state_dict()
    assert all(torch.equal(kept[key], ours[key]) for key in ours)


def test_limited_labels_are_drawn_as_seldom_as_the_recipe_says(data, trained):
    """By labels and by a teacher's scores, balanced or not; the others keep their proportions."""
    names = [row["labels"][0] for row in rows_of(data) if row["split"] == "train"]
    limit = {"limit_labels": (names[0],), "limit_share": 0.1}
    common = torch.tensor([name == names[0] for name in names])
    for settings in ({}, {"balance": 1.0}):
        weights = start(recipe(data=limit | settings), data, CPU).weights
        assert (weights[common].sum() / weights.sum()).item() == pytest.approx(0.1)
    distilled = {"distill": {"teacher": str(trained)}, "augment": {"mixup_alpha": 0.0}}
    run = start(recipe(data=limit | {"balance": 0.5}, **distilled), data, CPU)
    free = start(recipe(data={"balance": 0.5}, **distilled), data, CPU)
    changed = ~torch.isclose(run.weights, free.weights)
    assert (run.weights[changed].sum() / run.weights.sum()).item() == pytest.approx(0.1)
    with pytest.raises(RecipeError, match="no label is named 'nothing'"):
        start(recipe(data={"limit_labels": ("nothing",)}), data, CPU)


def test_balance_draws_rare_classes_more_often(data, trained, tmp_path):
    """Weights equal the formula for the first teacher's scores, and the draws follow them."""
    new = ModelConfig("convnext_audio_atto", Model.load(trained).labels, {**TINY, "dcls": None})
    Model.create(new).save(tmp_path / "new")
    distilled = recipe(
        distill={"teacher": str(trained), "other_teachers": [str(tmp_path / "new")]},
        augment={"mixup_alpha": 0.0},
        data={"balance": 0.5, "epoch_clips": 600},
    )
    run = start(distilled, data, CPU)
    labelled = start(recipe(data={"balance": 1.0, "balance_offset": 5.0}), data, CPU)
    names = [row["labels"][0] for row in rows_of(data) if row["split"] == "train"]
    for weight, name in zip(labelled.weights, names, strict=True):
        assert weight == pytest.approx(1 / (names.count(name) + 5))
    with torch.inference_mode():
        heads = run.training.clips.heads(torch.arange(len(run.training)), 1.5)
        scores = Model.load(trained)(heads).sigmoid().double()
    expected = (scores / scores.sum(0).clamp(min=1).sqrt()).sum(1)
    torch.testing.assert_close(run.weights.double(), expected, rtol=1e-4, atol=0)
    clips = [draw.clips for draw in draws(run, 0, 0)]
    drawn = torch.cat(clips).bincount(minlength=len(run.training))
    share = expected / expected.sum()
    assert (drawn / 600 - share).abs().max() < 4 * (share.max() / 600).sqrt()


@pytest.mark.parametrize(
    "sections,message",
    [
        ({"train": {"precision": "fp8"}}, "precision must be one of fp32, bf16, fp16"),
        ({"data": {"label_set": "cats"}}, "label_set must be one of data, audioset"),
        ({"distill": {}}, "distill.teacher must name"),
        ({"distill": {"teacher": "x", "layers": "x"}}, "leave out distill.layers"),
        ({"distill": {"teacher": "x", "blockwise_epochs": 1.0}}, "without distill.layers"),
        (
            {
                "distill": {"teacher": "x", "layers": "x", "blockwise_epochs": 4.0},
                "augment": {"mixup_alpha": 0.0},
            },
            r"blockwise_epochs \(4.0\) is above train.epochs \(3\)",
        ),
        ({"distill": {"teacher": "x", "embedding_weight": 1.0}}, "mixup_alpha blends only scores"),
        (
            {"distill": {"scores": ["x"], "embedding_weight": 1.0}},
            "distill.scores hold only scores",
        ),
        (
            {
                "distill": {"teacher": "x", "embedding_weight": 1.0},
                "augment": {"mixup_alpha": 0.0},
                "train": {"compile": True},
            },
            "train.compile returns only logits",
        ),
    ],
)
def test_wrong_values_are_named(data, tmp_path, sections, message):
    with pytest.raises(RecipeError, match=message):
        loop.train(recipe(**sections), data, tmp_path / "run", CPU)


def test_loss_that_is_not_finite_stops_the_run(data, tmp_path):
    wild = recipe(optim={"lr": 1e30, "clip_grad": 1e30, "warmup_epochs": 0.0})
    with pytest.raises(RecipeError, match="loss is .* at step .*, clips .*t"):
        loop.train(wild, data, tmp_path / "run", CPU)


def test_sample_rate_must_fit(data, tmp_path):
    with pytest.raises(DataError, match="--sample-rate 16000"):
        loop.train(
            recipe(features={"args": {"sample_rate": 16_000, "f_max": 8000.0}}),
            data,
            tmp_path / "run",
            CPU,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dcls"),
    [
        ("efficientnet_b0", {"match_kernel": 5, "kernel_size": 11, "kernel_count": 9}),
        ("resnet18", {"match_kernel": 7, "depthwise": False, "kernel_size": 9, "init": "dense"}),
    ],
)
def test_any_timm_model_trains_with_dcls_and_tags(data, tmp_path, name, dcls):
    changed = recipe(
        model={"architecture": name, "args": {}},
        data={"crop_seconds": [1.0], "epoch_clips": 6},
        dcls=dcls,
        train={"epochs": 1},
    )
    run = loop.train(changed, data, tmp_path / "run", CPU)
    tagger = load_tagger(run, "cpu", folded=False)
    convs = [module for module in tagger.modules() if isinstance(module, DclsConv2d)]
    assert convs and all(conv.dilated_kernel_size[0] == dcls["kernel_size"] for conv in convs)
    expected = tagger.tag(data.parent / "0.wav")
    folded = load_tagger(run, "cpu")
    assert not any(isinstance(module, DclsConv2d) for module in folded.modules())
    found = folded.tag(data.parent / "0.wav")
    assert [tag.label for tag in found.tags] == [tag.label for tag in expected.tags]
    for tag, reference in zip(found.tags, expected.tags, strict=True):
        assert tag.score == pytest.approx(reference.score, abs=1e-4)


def test_trained_model_goes_on_with_dcls_from_its_dense_kernels(tmp_path):
    args = {**TINY, "dcls": None}
    base = Model.create(ModelConfig("convnext_audio_atto", Labels(["x", "y"]), args))
    base.save(tmp_path / "base")
    swap = {"match_kernel": 7, "kernel_size": 23, "init": "dense"}
    changed = recipe(model={"init": str(tmp_path / "base")}, dcls=swap)
    tagger, _ = model.build_tagger(changed, Labels(["x", "y"]))
    waveform = torch.randn(2, 96_000)
    with torch.inference_mode():
        difference = (tagger.eval()(waveform) - base.eval()(waveform)).abs().max()
    assert difference < 1e-3
    assert tagger.config.dcls["init"] == "dense"
    tagger.save(tmp_path / "swapped")
    again = recipe(model={"init": str(tmp_path / "swapped")}, dcls=swap)
    with pytest.raises(RecipeError, match="has .dcls. already"):
        model.build_tagger(again, Labels(["x", "y"]))


def test_a_folded_model_is_not_trained(tmp_path, tiny_tagger):
    tiny_tagger.fold().config = replace(tiny_tagger.config, folded=True)
    tiny_tagger.save(tmp_path)
    with pytest.raises(ModelError, match="is folded, for use only"):
        model.build_tagger(recipe(model={"init": str(tmp_path)}), Labels(["x", "y"]))


def test_model_that_does_not_take_the_crops_is_named(data, tmp_path):
    vision = recipe(model={"architecture": "vit_tiny_patch16_224", "args": {}})
    with pytest.raises(ModelError, match=r"1.5 s, 128 mels x 151 frames .*img_size = .128, 151"):
        loop.train(vision, data, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()
