"""Recipes that nothing can be computed with: refused by name, in one sentence."""

import pytest

from audiotag.errors import RecipeError
from audiotag.training.recipe.toml import load_recipe, override, parse_recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe[model]", "is not UTF-8"),
        (b"a = " + b"[" * 100_000, "is (nested too deeply|not TOML)"),
        (b"[train]\nepochs = " + b"9" * 5000, "is not TOML"),
        (b"[train]\nepochs = " + b"9" * 30, "train.epochs must be at most"),
        (b"[train]\nepochs = -1", "train.epochs must be .* or more, got -1"),
        (b"[train]\nseed = -1", "train.seed must be 0 or more"),
        (b"[optim]\nlr = nan", "optim.lr must be a finite number, got nan"),
        (b"[optim]\nlr = inf", "optim.lr must be a finite number, got inf"),
        (b"[optim]\nbetas = [0.9, nan]", "optim.betas must be a finite number"),
        (b"[data]\ncrop_seconds = [1e9]", "data.crop_seconds must be 600 at most"),
        (b"[data]\nvalid_fold = " + b"1" + b"0" * 22, "data.valid_fold must be at most"),
        (b"[augment]\nmix_db = [-1e9, 0.0]", "augment.mix_db must lie between -100 and 100 dB"),
        (b"[augment]\ntime_masks = 1000000", "augment.time_masks must be between 0 and 100"),
        (b"[distill]\nteacher = 'a'\ntemperature = 0.0", "distill.temperature must be between"),
        (b"model = 3", r"\[model\] must be a table"),
        (b"\x00", "is not TOML"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_named(content, message, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message) as refused:
        load_recipe(path)
    assert len(str(refused.value)) < 400


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)


@pytest.mark.parametrize("value", ["nan", "inf", "9" * 5000, "[" * 5000])
def test_so_is_a_change_of_one(value):
    with pytest.raises(RecipeError, match="optim.lr"):
        parse_recipe(override({}, [f"optim.lr={value}"]))
