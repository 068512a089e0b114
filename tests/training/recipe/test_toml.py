"""Recipes: what is read is what is written, and mistakes are named."""

import datetime
import math
import tomllib
from pathlib import Path

import pytest

from audiotag.errors import RecipeError
from audiotag.training.recipe.checks import check_resumed
from audiotag.training.recipe.sections import Recipe
from audiotag.training.recipe.toml import dump_recipe, load_recipe, parse_recipe

RECIPES = sorted((Path(__file__).parents[3] / "recipes").rglob("*.toml"))


@pytest.fixture
def write(tmp_path):
    """A function that writes a recipe and gives its path."""

    def write_text(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write_text


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_resolved_form_of_every_recipe_reads_back_equal(path):
    recipe = load_recipe(path)
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe


KEYS = ["plain", "a b", "a.b", "", "höhe", '"quoted"', "back\\slash", "tab\t", "new\nline", "\x7f"]
VALUES = [
    "",
    "\x7f",
    "\x00\x1f",
    "\r\n",
    "a \"b\" \\ 'c'",
    "höhe 𝄞",
    '"""',
    True,
    -(2**62),
    1e-300,
    1e22,
    -0.0,
    math.inf,
    datetime.date(2026, 11, 30),
    [],
    {},
    [1, 2.5, "x", [True]],
    [{"a": 1}, {"b c": [{"d": "\x7f"}]}],
    [{"long": "x" * 200}, {}],
    [[{"a": 1}], {"b": 2}],
    {"a": {"b.c": {"d": 1}}, "a.b": {"c": 2}},
]


def spelt(value):
    """A value with its types and the signs of its zeros, which == does not tell apart."""
    if isinstance(value, dict):
        return {key: spelt(x) for key, x in value.items()}
    return [spelt(x) for x in value] if isinstance(value, list) else repr(value)


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_any_key_is_read_back(key):
    recipe = parse_recipe({"model": {"args": {key: 1, "in": {key: {key: [{key: 2}]}}}}})
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_any_value_is_read_back(value):
    recipe = parse_recipe({"model": {"args": {"x": value, "y": [value], "z": {"x": value}}}})
    again = parse_recipe(tomllib.loads(dump_recipe(recipe)))
    assert again == recipe and spelt(again.model.args) == spelt(recipe.model.args)


def test_a_dot_in_a_key_is_not_taken_for_a_table_when_a_run_is_resumed(tmp_path):
    dotted, nested = (
        parse_recipe({"model": {"args": args}}) for args in ({"a.b": 1}, {"a": {"b": 1}})
    )
    with pytest.raises(RecipeError, match="is resumed as it began, not with model.args.a.b"):
        check_resumed(tmp_path, dotted, nested)
    check_resumed(tmp_path, dotted, dotted)


# What earlier versions wrote, whose TOML no library wrote.
OLDER = """\
[model]
architecture = "convnext_dcls_audio_atto"
pretrained = false
freeze = 0
[model.args]
ls_init_value = 0.1
depths = [1, 1, 1, 1]
[model.args.dcls]
version = "höhe"

[features]
name = "log_mel"

[data]
train_split = "train"
crop_seconds = [5.0]

[augment]
speed = [0.8, 1.25]

[optim]
min_lr = 1e-06
betas = [0.9, 0.999]
"""


def test_the_recipe_of_an_older_run_is_read_and_may_be_resumed(write, tmp_path):
    values = {
        "model": {
            "architecture": "convnext_dcls_audio_atto",
            "args": {"ls_init_value": 0.1, "depths": [1] * 4, "dcls": {"version": "höhe"}},
        },
        "data": {"crop_seconds": [5.0]},
        "augment": {"speed": [0.8, 1.25]},
    }
    older = load_recipe(write(OLDER))
    assert older == parse_recipe(values)
    check_resumed(tmp_path, older, load_recipe(write(dump_recipe(older))))


def test_resolved_form_spells_out_defaults_and_nested_arguments(write):
    arguments = "args = { dcls = { kernel_size = 17 } }"
    path = write(f"[model]\n{arguments}\n[distill]\nteacher = 'a \"b\"'\n")
    values = tomllib.loads(dump_recipe(load_recipe(path)))
    assert values["model"]["args"] == {"dcls": {"kernel_size": 17}}
    assert values["distill"]["teacher"] == 'a "b"'
    assert values["optim"]["position_lr_scale"] == 5.0


def test_an_empty_list_stands_for_nothing_where_that_is_allowed(write):
    path = write("[distill]\nteacher = 'a'\nother_teachers = []\n[optim]\nclip_grad = []")
    found = load_recipe(path)
    assert (found.distill.other_teachers, found.optim.clip_grad) == (None, None)
    assert load_recipe(path, ["distill.teacher=[]", 'distill.scores=["b"]']).distill.teacher is None


def test_empty_recipe_is_the_default():
    assert parse_recipe({}) == Recipe()


@pytest.mark.parametrize(
    "text,message",
    [
        ("[optim]\nlrr = 1.0", "unknown key 'optim.lrr'; did you mean 'lr'"),
        ("[optimm]", "unknown key 'optimm'; did you mean 'optim'"),
        ("zzz = 1", "unknown key 'zzz'; keys are model, dcls, features"),
        ("[features]\nhop_length = 1", "go into args: features.args.hop_length"),
        ("[train]\nepochs = 1.5", "train.epochs must be of type int, got 1.5"),
        ("[train]\nprecision = 16", "train.precision must be of type str"),
        ("[data]\ncrop_seconds = ['x']", "data.crop_seconds must be of type float, got 'x'"),
        ("[model]\nfreeze = true", "model.freeze must be of type str or int, got True"),
        ("[data]\ncrop_seconds = []", "data.crop_seconds must have a value"),
        ("[augment]\nspeed = [1.0]", r"augment.speed must have 2 values, got \[1.0\]"),
        ("model = 3", r"\[model\] must be a table"),
        ("[model", "is not TOML"),
    ],
)
def test_mistakes_are_named(write, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


@pytest.mark.parametrize(
    "text,message",
    [
        ("[optim]\nname = 'sgd'", "optim.name must be one of adamw, lamb, got 'sgd'"),
        ("[optim]\nlr = -1", "optim.lr must be 0.0 or more, got -1.0"),
        ("[augment]\nspeed_prob = 1.5", "augment.speed_prob must be between 0.0 and 1.0, got 1.5"),
        ("[train]\nepochs = 0", "train.epochs = 0 leaves a random head"),
        ("[train]\nprecision = 'int8'", "train.precision must be one of fp32, bf16, fp16"),
    ],
)
def test_limits_are_named(write, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


@pytest.mark.parametrize(
    "text,message",
    [
        ("[model]\ninit = 'a/b'\nargs = { x = 1 }", "init is a/b, .*; leave out model.args"),
        ("[model]\ninit = 'a/b'\narchitecture = 'x'", "leave out model.architecture"),
        ("[model]\ninit = 'a/b'\npretrained = true", "two starts; leave out one"),
        ("[model]\ninit = 'a/b'\n[features]\nname = 'x'", r"leave out \[features\]"),
        ("[model]\nfreeze = 1", "random weights; give model.init or model.pretrained"),
        ("[model]\ninit = 'a/b'\nfreeze = 'head'", "must be 'backbone' or a number of stages"),
        ("[model]\ninit = 'a/b'\nfreeze = -1", "model.freeze must be 0 or more"),
        ("[data]\ncrop_seconds = [0.0]", "data.crop_seconds must be above 0"),
        ("[data]\nbalance_offset = 1.0", "does nothing without data.balance"),
        ("[augment]\nmix_db = [3.0, 1.0]", r"the lower value, then the higher, got \[3.0, 1.0\]"),
        ("[augment]\nspeed = [0.0, 1.0]", "augment.speed must be above 0"),
        ("[augment]\ntime_masks = 1", "time_masks and augment.time_width need each other"),
        ("[augment]\nmel_width = 1", "mel_masks and augment.mel_width need each other"),
        ("[optim]\nmin_lr = 1.0", r"optim.min_lr \(1.0\) is above optim.lr \(0.004\)"),
        ("[train]\nepochs = 3", r"warmup_epochs \(20.0\) is above train.epochs \(3\)"),
        ("[optim]\nbetas = [0.9, 1.0]", "optim.betas must be 0 or more and below 1"),
        ("[optim]\nlayer_decay = 0.0", "freeze layers with model.freeze"),
        ("[train]\nmicro_batch = 48", r"batch_size \(128\) must be a multiple .*\(48\)"),
        ("[train]\nfinal = 'average_best'", "a mean of train.keep weights; set it above 1"),
        ("[train]\nmetric = 'valid_accuracy'", 'needs train.task = "single"'),
        ("[train]\ntask = 'single'\n[distill]\nteacher = 'x'", "scores each label by itself"),
        ("[distill]", "distill.teacher must name a model"),
        ("[distill]\nteacher = 'x'\nscores = ['y.npz']", "two teachers; leave out one"),
        ("[distill]\nscores = 'y.npz'", "distill.scores must be of type list, got 'y.npz'"),
    ],
)
def test_values_that_exclude_each_other_are_named(write, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match="none.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_overrides(write):
    path = write("[optim]\nlr = 1e-3\n")
    overrides = ["optim.lr=2", "data.train_split=owner/name", "data.crop_seconds=[1, 2.5]"]
    recipe = load_recipe(path, [*overrides, "model.args.dcls.version=v1"])
    assert recipe.optim.lr == 2.0 and isinstance(recipe.optim.lr, float)
    assert recipe.data.train_split == "owner/name"
    assert recipe.data.crop_seconds == (1.0, 2.5)
    assert recipe.model.args == {"dcls": {"version": "v1"}}
    for wrong in ("lr=1", "optim.lr", "dcls", "dcls=1", "optim=none"):
        with pytest.raises(RecipeError, match="section.key=value"):
            load_recipe(path, [wrong])
    with pytest.raises(RecipeError, match="'optim.lr.x=1': lr is a value, and has no keys"):
        load_recipe(path, ["optim.lr.x=1"])


@pytest.mark.parametrize(("text", "value"), [("2", 2), ("backbone", "backbone")])
def test_freeze_is_a_number_or_a_word(write, text, value):
    path = write("[model]\ninit = 'default'\n")
    recipe = load_recipe(path, [f"model.freeze={text}"])
    assert recipe.model.freeze == value
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe


def test_dcls_section_is_read_and_written(write):
    path = write('[model]\narchitecture = "resnet18"\n[dcls]\ndepthwise = false\nversion = "v1"\n')
    recipe = load_recipe(path)
    assert (recipe.dcls.depthwise, recipe.dcls.version, recipe.dcls.kernel_size) == (
        False,
        "v1",
        23,
    )
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe
    plain = load_recipe(path, ["dcls=none", "distill=none"])
    assert plain.dcls is None and plain.model == recipe.model
    assert load_recipe(write("[model]\n")).dcls is None
