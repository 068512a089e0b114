"""Parameter groups and schedule against the paper's recipe."""

import math

import pytest
import timm

import audiotag.backbones  # noqa: F401  (registers the models)
from audiotag.optim import build_optimizer, learning_rate, parameter_groups, set_learning_rate
from audiotag.recipe import OptimRecipe

RECIPE = OptimRecipe()


@pytest.fixture
def model():
    return timm.create_model("convnext_dcls_audio_atto", num_classes=5)


def test_every_parameter_is_in_the_right_group_once(model):
    groups = {group["name"]: group for group in parameter_groups(model, RECIPE)}
    names = {id(p): name for name, p in model.named_parameters()}
    seen = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(seen) == sorted(names)
    for group, parameters in groups.items():
        for parameter in parameters["params"]:
            name = names[id(parameter)]
            is_position = name.endswith((".P", ".SIG"))
            expected = "positions" if is_position else "no_decay" if parameter.ndim < 2 else "decay"
            assert group == expected, name
    assert groups["decay"]["weight_decay"] == 0.05
    assert groups["no_decay"]["weight_decay"] == groups["positions"]["weight_decay"] == 0.0
    assert len(groups["positions"]["params"]) == 8  # positions and sigmas of four stages


def test_positions_learn_five_times_as_fast(model):
    optimizer = build_optimizer(model, RECIPE)
    set_learning_rate(optimizer, 1e-3)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx({"decay": 1e-3, "no_decay": 1e-3, "positions": 5e-3})


def test_schedule_has_the_papers_values():
    warmup, total = 20 * 480, 60 * 480  # batches of 4096 of AudioSet's two million clips
    rate = [learning_rate(step, warmup, total, RECIPE) for step in range(total + 1)]
    assert rate[0] == 0
    assert rate[warmup // 2] == pytest.approx(2e-3)
    assert rate[warmup] == pytest.approx(4e-3)
    assert rate[(warmup + total) // 2] == pytest.approx((4e-3 + 1e-6) / 2)
    assert rate[warmup + (total - warmup) // 4] == pytest.approx(
        1e-6 + (4e-3 - 1e-6) * (1 + math.sqrt(0.5)) / 2
    )
    assert rate[total] == pytest.approx(1e-6)


def test_no_warmup_starts_at_the_full_rate():
    assert learning_rate(0, 0, 10, RECIPE) == pytest.approx(4e-3)
