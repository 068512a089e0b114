"""Hints: layers found, tapped and compared, against the same computed by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from audiotag.errors import RecipeError
from audiotag.training.distill import feature_maps

MAPS = torch.randn(3, 1, 16, 20, generator=torch.Generator().manual_seed(0))
LAYERS = ("features.0", "features.1")


class Small(nn.Module):
    """Two convolutions and a third thing, by names."""

    def __init__(self, width=4, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.features = nn.Sequential(nn.Conv2d(1, width, 3), nn.Conv2d(width, 2, 3))
        self.head = nn.ModuleDict({"linear": nn.Linear(2, 5)})

    def forward(self, x):
        return self.head["linear"](self.features(x).mean((2, 3)))


@pytest.mark.parametrize(
    "pattern,names",
    [
        ("features.*", LAYERS),
        ("features.1", LAYERS[1:]),
        ("*.linear", ("head.linear",)),
        ("*", ("", "features", "head")),
        ("features.0.*", ()),
    ],
)
def test_layers_are_found_by_name(pattern, names):
    assert feature_maps.find_layers(Small(), pattern) == names


def test_tapped_layers_give_what_they_give_by_hand():
    model = Small()
    with feature_maps.tapped(model, LAYERS) as maps:
        model(MAPS)
    first = model.features[0](MAPS)
    torch.testing.assert_close(maps["features.0"], first, rtol=0, atol=0)
    torch.testing.assert_close(maps["features.1"], model.features[1](first), rtol=0, atol=0)
    model(MAPS[:1])
    assert len(maps["features.0"]) == 3  # no longer tapped


def test_layers_go_on_from_given_maps_and_learn_apart():
    model, other = Small(seed=0), Small(seed=1)
    with torch.no_grad(), feature_maps.tapped(other, LAYERS) as given:
        other(MAPS)
    with feature_maps.tapped(model, LAYERS, given) as maps:
        logits = model(MAPS)
    second = model.features[1](given["features.0"])
    torch.testing.assert_close(maps["features.1"], second, rtol=0, atol=0)
    on_top = model.head["linear"](given["features.1"].mean((2, 3)))
    torch.testing.assert_close(logits, on_top, rtol=0, atol=0)
    maps["features.1"].sum().backward()
    assert model.features[0].weight.grad is None
    assert model.features[1].weight.grad is not None


def test_distance_is_the_share_of_the_teachers_variance():
    rng = np.random.default_rng(0)
    teacher = {name: rng.normal(5, 3, (4, 2, 6, 7)) for name in LAYERS}
    student = {name: value + rng.normal(0, 0.5, value.shape) for name, value in teacher.items()}
    shares = [
        np.sum((student[name] - teacher[name]) ** 2)
        / sum(teacher[name][:, c].var() * teacher[name][:, c].size for c in range(2))
        for name in LAYERS
    ]
    ours, theirs = (
        {name: torch.tensor(value, dtype=torch.float32) for name, value in maps.items()}
        for maps in (student, teacher)
    )
    assert float(feature_maps.distance(ours, theirs)) == pytest.approx(np.mean(shares), rel=1e-4)
    means = {name: value.mean((0, 2, 3), keepdim=True) for name, value in theirs.items()}
    means = {name: value.expand_as(theirs[name]) for name, value in means.items()}
    assert float(feature_maps.distance(means, theirs)) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    "pattern,width,message",
    [
        ("stages.*", 4, r"'stages.\*' must stand for the same .* finds none in the one"),
        ("features.0", 8, r"features.0 gives \(1, 4, .* and \(1, 8, .* the same shape"),
        ("head.linear", 4, r"head.linear gives \(1, 5\) .* must give maps"),
    ],
)
def test_layers_that_cannot_be_learnt_are_named(pattern, width, message):
    maps = MAPS[:1], MAPS[:1]
    with pytest.raises(RecipeError, match=message):
        feature_maps.common_layers(Small(), Small(width), pattern, maps)
