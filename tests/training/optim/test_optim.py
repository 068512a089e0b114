"""Parameter groups, optimisers and schedule against timm's groups and the papers' formulas."""

import math
from dataclasses import replace

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

import audiotag.backbones  # noqa: F401  (registers the models)
from audiotag.training.optim.optim import (
    build_optimizer,
    learning_rate,
    parameter_groups,
    set_learning_rate,
)
from audiotag.training.recipe.sections import OptimRecipe
from audiotag.training.run_folder.state import Position, load_state, save_state

RECIPE = OptimRecipe()
LAYER_DECAY = 0.7


@pytest.fixture
def model():
    return timm.create_model("convnext_dcls_audio_atto", num_classes=5)


def share_of_each(model, recipe):
    """Learning rate of every parameter against that of the classifier, by name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, recipe)
    return {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}


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


def test_frozen_parameters_are_in_no_group(model):
    model.stem.requires_grad_(False)
    assert set(share_of_each(model, RECIPE)) == {
        name for name, _ in model.named_parameters() if not name.startswith("stem.")
    }


def test_positions_learn_five_times_as_fast(model):
    optimizer = build_optimizer(model, RECIPE)
    set_learning_rate(optimizer, 1e-3)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx({"decay": 1e-3, "no_decay": 1e-3, "positions": 5e-3})


@pytest.mark.parametrize("name", ["convnext_dcls_audio_atto", "fastvit_audio_sa24", "resnet18"])
def test_layer_decay_is_timms(name):
    model = timm.create_model(name, num_classes=5)
    expected = {}
    for group in param_groups_layer_decay(model, 0.05, layer_decay=LAYER_DECAY):
        expected |= {id(parameter): group["lr_scale"] for parameter in group["params"]}
    shares = share_of_each(model, OptimRecipe(layer_decay=LAYER_DECAY))
    for key, parameter in model.named_parameters():
        faster = 5.0 if key.endswith((".P", ".SIG")) else 1.0
        assert shares[key] == pytest.approx(faster * expected[id(parameter)]), key


def test_layer_decay_of_a_convformer_goes_by_its_blocks():
    depths = (1, 2, 3, 1)
    arguments = {"num_classes": 5, "depths": depths, "dims": (8, 8, 16, 32)}
    model = timm.create_model("convformer_audio_s18", **arguments)
    shares = share_of_each(model, OptimRecipe(layer_decay=LAYER_DECAY))
    for name, share in shares.items():
        part, *numbers = name.replace(".blocks", "").split(".")
        if part == "stages":
            block = 0 if numbers[1] == "downsample" else int(numbers[1])
            depth = 1 + sum(depths[: int(numbers[0])]) + block
        else:
            depth = {"stem": 0, "head": 8}[part]
        assert share == pytest.approx(LAYER_DECAY ** (8 - depth)), name


def test_layer_decay_of_a_mobilenet_goes_by_its_blocks():
    model = timm.create_model("mn01_as", num_classes=5)
    shares = share_of_each(model, OptimRecipe(layer_decay=LAYER_DECAY))
    for name, share in shares.items():
        part, number, *_ = name.split(".")
        depth = int(number) if part == "features" else len(model.features)
        assert share == pytest.approx(LAYER_DECAY ** (len(model.features) - depth)), name


def test_lamb_takes_the_steps_of_its_paper():
    """Algorithm 2 of arXiv 1904.00962; what does not decay takes Adam's step."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    recipe = OptimRecipe(name="lamb", lr=0.1, weight_decay=0.05)
    optimizer = build_optimizer(layer, recipe)
    gradients = [[torch.randn(2, 3).double() * 50**i, torch.randn(2).double()] for i in range(3)]
    expected = [parameter.detach().clone() for parameter in (layer.weight, layer.bias)]
    moments = [[torch.zeros_like(x), torch.zeros_like(x)] for x in expected]
    for step, pair in enumerate(gradients, 1):
        for place, gradient in enumerate(pair):
            mean, square = moments[place]
            mean.mul_(0.9).add_(0.1 * gradient)
            square.mul_(0.999).add_(0.001 * gradient**2)
            update = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
            ratio = 1.0
            if place == 0:
                update = update + 0.05 * expected[0]
                ratio = expected[0].norm() / update.norm()
            expected[place] = expected[place] - 0.1 * ratio * update
        layer.weight.grad, layer.bias.grad = pair
        optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), expected[0], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(layer.bias.detach(), expected[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_saved_optimizer_goes_on_to_the_same_bits(name, tmp_path):
    def some_steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    recipe = OptimRecipe(name=name, lr=0.01)
    whole, partly = nn.Linear(3, 2), nn.Linear(3, 2)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimizer = build_optimizer(whole, recipe)
    some_steps(whole, optimizer, 3)
    save_state(tmp_path, Position(3), {"model": whole}, optimizer, scaler)
    other = build_optimizer(partly, recipe)
    assert load_state(tmp_path, {"model": partly}, other, scaler) == Position(3)
    some_steps(whole, optimizer, 2)
    some_steps(partly, other, 2)
    assert torch.equal(whole.weight, partly.weight) and torch.equal(whole.bias, partly.bias)


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


def test_halving_is_that_of_ast():
    """Its code, for the full AudioSet: MultiStepLR(range(2, 1000), 0.5), a step after an epoch."""
    recipe = replace(RECIPE, lr=1e-4, halve_after=2)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(reference, list(range(2, 1000)), gamma=0.5)
    for epoch in range(5):
        for step in (0, 6):
            rate = learning_rate(7 * epoch + step, 0, 35, recipe, epoch_steps=7)
            assert rate == pytest.approx(scheduler.get_last_lr()[0])
        reference.step()
        scheduler.step()
    assert learning_rate(1, 4, 35, recipe, epoch_steps=7) == pytest.approx(1e-4 / 4)


def test_no_warmup_starts_at_the_full_rate():
    assert learning_rate(0, 0, 10, RECIPE) == pytest.approx(4e-3)
