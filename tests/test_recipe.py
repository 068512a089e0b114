"""Recipes: what is read is what is written, and mistakes are named."""

import tomllib
from pathlib import Path

import pytest

from audiotag.errors import RecipeError
from audiotag.recipe import Recipe, dump_recipe, finetune_recipe, load_recipe, parse_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").rglob("*.toml"))


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


def test_resolved_form_spells_out_defaults_and_nested_arguments(write):
    arguments = "args = { dcls = { kernel_size = 17 } }"
    path = write(f"[model]\n{arguments}\n[distill]\nteacher = 'a \"b\"'\n")
    values = tomllib.loads(dump_recipe(load_recipe(path)))
    assert values["model"]["args"] == {"dcls": {"kernel_size": 17}}
    assert values["distill"]["teacher"] == 'a "b"'
    assert values["optim"]["position_lr_scale"] == 5.0


def test_empty_recipe_is_the_default():
    assert parse_recipe({}) == Recipe()


@pytest.mark.parametrize(
    "text,message",
    [
        ("[optim]\nlrr = 1.0", "unknown key 'optim.lrr'; did you mean 'lr'"),
        ("[optimm]", "unknown key 'optimm'; did you mean 'optim'"),
        ("zzz = 1", "unknown key 'zzz'; keys are model, dcls, features"),
        ("[train]\nepochs = 1.5", "train.epochs must be of type int, got 1.5"),
        ("[train]\nprecision = 16", "train.precision must be of type str"),
        ("[data]\ncrop_seconds = ['x']", "data.crop_seconds must be of type float, got 'x'"),
        ("model = 3", r"\[model\] must be a table"),
        ("[model", "is not TOML"),
    ],
)
def test_mistakes_are_named(write, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match="none.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_overrides(write):
    path = write("[optim]\nlr = 1e-3\n")
    overrides = ["optim.lr=2", "model.init=owner/name", "data.crop_seconds=[1, 2.5]"]
    recipe = load_recipe(path, [*overrides, "model.args.dcls.version=v1"])
    assert recipe.optim.lr == 2.0 and isinstance(recipe.optim.lr, float)
    assert recipe.model.init == "owner/name"
    assert recipe.data.crop_seconds == (1.0, 2.5)
    assert recipe.model.args == {"dcls": {"version": "v1"}}
    for wrong in ("lr=1", "optim.lr"):
        with pytest.raises(RecipeError, match="section.key=value"):
            load_recipe(path, [wrong])


def test_finetune_starts_from_the_model():
    recipe = finetune_recipe("default", ["train.epochs=3"])
    assert recipe.model.init == "default"
    assert recipe.train.epochs == 3 and recipe.distill is None


def test_dcls_section_is_read_and_written(write):
    path = write('[model]\narchitecture = "resnet18"\n[dcls]\ndepthwise = false\nversion = "v1"\n')
    recipe = load_recipe(path)
    assert (recipe.dcls.depthwise, recipe.dcls.version, recipe.dcls.kernel_size) == (
        False,
        "v1",
        23,
    )
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe
    assert load_recipe(write("[model]\n")).dcls is None
