"""Frozen parts: which parameters learn, and what stays as it is while the rest trains."""

import pytest
import timm
import torch
from torch import nn

import audiotag.backbones  # noqa: F401  (registers the models)
from audiotag.errors import RecipeError
from audiotag.training.optim.freezing import freeze, set_training

SMALL = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 32)}
MODELS = {
    "convnext_dcls_audio_atto": (SMALL, "head.fc."),
    "convformer_dcls_audio_s18": (SMALL, "head.fc."),
    "mn01_as": ({}, "classifier.3."),
    "resnet18": ({}, "fc."),
}


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", MODELS)
def test_backbone_leaves_the_classifier(name):
    arguments, classifier = MODELS[name]
    model = timm.create_model(name, num_classes=3, **arguments)
    freeze(model, "backbone")
    names = {key for key, _ in model.named_parameters()}
    assert learning(model) == {key for key in names if key.startswith(classifier)} != set()


@pytest.mark.parametrize("count", [0, 1, 3, 4])
@pytest.mark.parametrize("name", ["convnext_dcls_audio_atto", "convformer_dcls_audio_s18"])
def test_stages_are_counted_from_the_stem(name, count):
    model = timm.create_model(name, num_classes=3, **SMALL)
    freeze(model, count)
    frozen = tuple(f"stages.{i}." for i in range(count)) + (("stem.",) if count else ())
    names = {key for key, _ in model.named_parameters()}
    assert learning(model) == {key for key in names if not key.startswith(frozen)}


def test_frozen_batch_norms_keep_their_statistics_and_others_do_not():
    model = timm.create_model("resnet18", num_classes=3, in_chans=1)
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    freeze(model, 2)
    set_training(model)
    model(torch.randn(2, 1, 64, 64))
    for key, buffer in model.named_buffers():
        is_frozen = key.startswith(("bn1", "layer1", "layer2"))
        assert torch.equal(buffer, before[key]) == is_frozen, key


def test_frozen_stages_drop_no_path():
    model = timm.create_model("convnext_audio_atto", num_classes=3, drop_path_rate=0.9, **SMALL)
    for module in model.modules():
        if hasattr(module, "gamma"):
            nn.init.ones_(module.gamma)  # or what is dropped would hardly count
    freeze(model, 3)
    set_training(model)
    maps = torch.randn(16, 1, 32, 128)
    first, second = (model.stages[:3](model.stem(maps)) for _ in range(2))
    assert torch.equal(first, second)
    first, second = (model(maps) for _ in range(2))
    assert not torch.equal(first, second)


def test_too_many_stages_are_refused_with_how_many_there_are():
    model = timm.create_model("convnext_audio_atto", num_classes=3, **SMALL)
    with pytest.raises(RecipeError, match="freeze is 5, but AudioConvNeXt has 4 stages"):
        freeze(model, 5)


def test_model_of_unknown_order_is_refused():
    with pytest.raises(RecipeError, match="Sequential does not say in which order its layers come"):
        freeze(nn.Sequential(nn.Linear(2, 2)), 1)
