"""The recipes that ship: each trains in a small form, and the paper's have the paper's figures."""

import json
import re
import shlex
from math import inf
from pathlib import Path

import numpy as np
import pytest
import soundfile
import timm
import torch
from DCLS.construct.modules import Dcls2d
from timm.models.fastvit import LayerScale2d
from torch import nn

import audiotag.backbones  # noqa: F401  (registers the models)
from audiotag.cli.train import train
from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.evaluation.evaluate import EvaluationPlan, evaluate
from audiotag.label_set import Labels
from audiotag.layers.dcls import DclsConv2d
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.training import loop
from audiotag.training.optim.optim import learning_rate, parameter_groups
from audiotag.training.recipe.sections import FeaturesRecipe, ModelRecipe
from audiotag.training.recipe.toml import load_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))
PAPER = {  # arXiv 2309.13972: mAP (%) and optimiser of each model
    "convnext_audio_tiny": ("44.83 +- 0.14", "adamw"),
    "convnext_dcls_audio_tiny": ("45.52 +- 0.05", "adamw"),
    "convformer_audio_s18": ("43.14 +- 0.03", "lamb"),
    "convformer_dcls_audio_s18": ("43.68 +- 0.02", "lamb"),
    "fastvit_audio_sa24": ("43.82 +- 0.05", "adamw"),
    "fastvit_dcls_audio_sa24": ("44.4 +- 0.07", "adamw"),
}
STEPS = 480  # of an epoch: 4096 of some two million clips
SMALL = {  # arguments that leave little of an architecture
    "convnext": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]},
    "convformer": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]},
    "fastvit": {"layers": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 32]},
    "mn04": {"width": 0.1},
}
SHORT = {
    # The last maps of 2 s are 1 wide, which oneDNN's bfloat16 convolution for AMX gets wrong.
    "data.crop_seconds": [3.0],
    "data.epoch_clips": 4,
    "train.epochs": 2,
    "train.batch_size": 4,
    "optim.warmup_epochs": 1.0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Clips of noise with AudioSet's labels, in every split and fold that a recipe names."""
    folder = tmp_path_factory.mktemp("noise")
    rng, rows = np.random.default_rng(0), ["path,label,split,fold"]
    for i in range(12):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(48_000), 32_000)
        split = ("train", "train", "train", "valid", "eval", "dev")[i % 6]
        rows.append(f"{i}.wav,{('Dog', 'Rain', 'Music')[i % 3]},{split},{1 + i % 2}")
    (folder / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(folder / "t.csv"), folder / "data")


def name_of(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def shrunken(path, start, scores=()):
    """A recipe whose run is over in a moment: two steps of a small model; with these files of a
    teacher's scores, where it learns stored ones."""
    recipe = load_recipe(path)
    values = dict(SHORT)
    if recipe.model.init is not None:
        values["model.init"] = str(start)
    else:
        family = recipe.model.architecture.partition("_")[0]
        values |= {f"model.args.{key}": value for key, value in SMALL[family].items()}
    if recipe.model.pretrained:
        values["model.pretrained"] = "false"
    if recipe.optim.halve_after is not None:
        values["optim.halve_after"] = 1
    if recipe.train.micro_batch is not None:
        values["train.micro_batch"] = 2
    if recipe.distill is not None:
        if recipe.distill.scores:
            values["distill.scores"] = list(map(str, scores))
        else:
            values["distill.teacher"] = str(start)
        if recipe.distill.other_teachers:
            values["distill.other_teachers"] = [str(start)]
        values["distill.blockwise_epochs"] = min(1.0, recipe.distill.blockwise_epochs)
    return load_recipe(path, [f"{key}={value}" for key, value in values.items()])


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_two_steps_of_a_small_copy_leave_a_model(path, data, tmp_path, tiny_tagger):
    tiny_tagger.save(tmp_path / "start")
    scores = [tmp_path / "train.npz", tmp_path / "valid.npz"]
    recipe = shrunken(path, tmp_path / "start", scores)
    if recipe.distill is not None and recipe.distill.scores:
        for file, split in zip(
            scores, (recipe.data.train_split, recipe.data.valid_split), strict=True
        ):
            evaluate(EvaluationPlan((str(tmp_path / "start"),), data, split=split, scores=file))
    if recipe.distill is not None and recipe.distill.layers:  # a teacher with the same layers
        model, features = recipe.model, recipe.features
        if model.init is not None:
            model = ModelRecipe("mn_as", {"width": 0.1})
            features = FeaturesRecipe("efficientat_mel")
        arguments = {"front_end": features.name, "front_end_args": features.args}
        config = ModelConfig(model.architecture, Labels.audioset(), model.args, **arguments)
        Model.create(config).save(tmp_path / "start")
    run = loop.train(recipe, data, tmp_path / "run", torch.device("cpu"))
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and 0 < last["train_loss"] < inf and 0 < last["valid_loss"] < inf
    tagger = Model.load(run)
    assert set(tagger.labels.names) >= {"Dog", "Rain", "Music"}
    if recipe.model.init is None:
        assert tagger.config.architecture == recipe.model.architecture
        has_dcls = any(isinstance(module, DclsConv2d) for module in tagger.modules())
        named = "dcls" in path.stem or "dcls" in recipe.model.architecture
        assert has_dcls == (named or recipe.dcls is not None)


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_header_has_commands_that_run_it(path, monkeypatch):
    monkeypatch.chdir(FOLDER.parent)
    header = path.read_text().partition("\n[")[0]
    assert all(line.startswith("#") or not line for line in header.splitlines())
    commands = re.findall(r"^#   (.*audiotag train .*)$", header.replace("\\\n#    ", ""), re.M)
    ours = [x for x in commands if f" recipes/{name_of(path)}.toml " in x]
    launchers = [command.split()[0] for command in ours]
    cluster = ["audiotag", "torchrun", "srun"] if path.parent.name == "audioset2m" else ["audiotag"]
    assert launchers == cluster
    for command in commands:
        words = shlex.split(command.partition("audiotag train ")[2])
        with train.make_context("train", words) as context:  # raises where an option is unknown
            assert context.params["data"] and context.params["out"]


def test_a_stored_teacher_can_be_a_live_one_and_a_live_one_stored():
    """By the settings that the headers name."""
    folder = FOLDER / "audioset2m"
    live = ["distill.scores=[]", "distill.teacher=ced-base", "augment.speed_prob=0.5"]
    found = load_recipe(folder / "convnext_dcls_audio_tiny_distilled.toml", live).distill
    assert (found.teacher, found.scores) == ("ced-base", None)
    stored = ["distill.teacher=[]", 'distill.scores=["train.npz"]']
    found = load_recipe(folder / "convnext_dcls_tiny_224_distilled.toml", stored).distill
    assert (found.teacher, found.scores) == (None, ("train.npz",))


def test_the_distilled_recipes_have_the_published_settings():
    """CED's (arXiv 2308.11957) and DASS's."""
    ced = load_recipe(FOLDER / "audioset2m" / "convnext_dcls_audio_tiny_distilled.toml")
    steps = ced.data.epoch_clips // ced.train.batch_size
    assert (steps, ced.train.batch_size, ced.train.epochs) == (6_250, 128, 300)
    assert (round(ced.optim.warmup_epochs * steps), ced.optim.lr) == (62_500, 1e-3)
    assert (ced.distill.weight, ced.distill.softmax, ced.optim.weight_decay) == (1.0, False, 0.0)
    dass = load_recipe(FOLDER / "audioset2m" / "convnext_dcls_tiny_224_distilled.toml")
    assert (dass.train.epochs, dass.train.batch_size, dass.model.pretrained) == (5, 12, True)
    assert (dass.optim.betas, dass.optim.weight_decay) == ((0.95, 0.999), 5e-7)
    assert (dass.optim.lr, dass.optim.halve_after) == (1e-4, 2)
    assert round(dass.optim.warmup_epochs * 2_000_000 / 12) == pytest.approx(1_000, abs=10)
    augment = dass.augment
    assert (augment.mel_width, augment.time_width, augment.mix_prob) == (48, 192, 0.5)
    assert (dass.train.final, dass.train.keep) == ("average_last", 5)
    assert (dass.distill.softmax, dass.distill.temperature, dass.distill.weight) == (True, 1.0, 0.5)


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipes_have_the_papers_figures(name):
    path, (accuracy, optimizer) = FOLDER / "audioset2m" / f"{name}.toml", PAPER[name]
    assert f"mAP\n# {accuracy} %" in path.read_text()
    recipe = load_recipe(path)
    model, augment, optim, length = recipe.model, recipe.augment, recipe.optim, recipe.train
    assert (model.architecture, model.args) == (name, {"drop_path_rate": 0.4})
    assert (length.epochs, length.batch_size, length.label_smoothing) == (60, 4096, 0.1)
    assert (optim.name, optim.weight_decay, optim.position_lr_scale) == (optimizer, 0.05, 5.0)
    assert (optim.betas, optim.eps, optim.layer_decay) == ((0.9, 0.999), 1e-8, 1.0)
    assert (augment.roll, augment.speed_prob, augment.speed) == (True, 0.5, (0.5, 1.5))
    assert (augment.erase_prob, augment.mixup_alpha) == (0.25, 0.8)
    assert (augment.mix_prob, augment.noise_prob, augment.gain_db) == (0.0, 0.0, 0.0)
    assert (augment.time_masks, augment.mel_masks, recipe.data.balance) == (0, 0, 0.0)
    assert recipe.data.crop_seconds == (10.0,) and recipe.distill is None
    assert length.precision == "fp32" and length.ema_decay is None


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipes_have_the_papers_schedule(name):
    optim = load_recipe(FOLDER / "audioset2m" / f"{name}.toml").optim
    warmup, total = round(optim.warmup_epochs * STEPS), 60 * STEPS
    rates = np.array([learning_rate(step, warmup, total, optim) for step in range(total)])
    assert rates[0] == 0 and rates[4800] == pytest.approx(2e-3)
    assert rates[9600] == rates.max() == pytest.approx(4e-3)
    assert rates[19_200] == pytest.approx((4e-3 + 1e-6) / 2)
    assert rates[28_799] == pytest.approx(1e-6, rel=1e-3)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=4e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(reference, total - 9600, eta_min=1e-6)
    for rate in rates[9600:]:
        assert rate == pytest.approx(cosine.get_last_lr()[0], rel=1e-6)
        reference.step()
        cosine.step()


@pytest.mark.parametrize("name", PAPER)
def test_every_parameter_of_the_paper_is_in_its_group(name):
    """By the kind of module it belongs to, with the paper's decay and learning rate."""
    recipe = load_recipe(FOLDER / "audioset2m" / f"{name}.toml")
    model = timm.create_model(name, **recipe.model.args)
    expected = {}
    for module in model.modules():
        for key, parameter in module.named_parameters(recurse=False):
            expected[id(parameter)] = expected_group(module, key)
    found = {
        id(parameter): (group["weight_decay"], group["lr_scale"])
        for group in parameter_groups(model, recipe.optim)
        for parameter in group["params"]
    }
    assert found == expected
    count = sum(len(group["params"]) for group in parameter_groups(model, recipe.optim))
    assert count == len(expected)
    stages_with_dcls = 4 if "dcls" in name else 0
    assert sum(group == (0.0, 5.0) for group in found.values()) == 2 * stages_with_dcls


def expected_group(module, key):
    """Weight decay and share of the learning rate of a module's own parameter."""
    if isinstance(module, Dcls2d) and key in ("P", "SIG"):
        return 0.0, 5.0
    is_map = isinstance(module, nn.Conv2d | nn.Linear | Dcls2d) and key == "weight"
    return (0.05, 1.0) if is_map or isinstance(module, LayerScale2d) else (0.0, 1.0)
