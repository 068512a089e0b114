"""The model of a recipe, ready to be trained."""

from dataclasses import asdict, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from audiotag.errors import ModelError, RecipeError
from audiotag.label_set import Labels
from audiotag.layers.swap import swap_convs
from audiotag.models.config import ModelConfig
from audiotag.models.model import Model
from audiotag.tagging.locate import model_folder
from audiotag.training.probe.head import absorb_calibration, last_layer, replace_last_layer
from audiotag.training.recipe.sections import PROBE, Recipe

RAREST = 1e-4  # lowest frequency of a class for the start of the head


def build_tagger(recipe: Recipe, labels: Labels) -> tuple[Model, bool]:
    """The model of a recipe, and whether its head is a new one.

    With `model.init` the weights are that model's; those of its head only if the labels are the
    same.

    Raises:
        ModelError: As `Model.create` and `Model.load`, or if the model to start from is folded.
        RecipeError: If the recipe replaces convolutions that are replaced already.
    """
    model, features = recipe.model, recipe.features
    dcls = None if recipe.dcls is None else asdict(recipe.dcls)
    if model.init is None:
        config = ModelConfig(
            model.architecture, labels, model.args, dcls, features.name, features.args
        )
        return Model.create(config, pretrained=model.pretrained), True
    tagger = Model.load(model_folder(model.init))
    if tagger.config.folded:
        raise ModelError(f"{model.init} is folded, for use only; start from its unfolded weights")
    if model.keep_labels and tagger.config.calibration is not None:
        absorb_calibration(tagger.backbone, tagger.config.calibration)
    # Thresholds and calibration belong to the weights before training.
    tagger.config = replace(tagger.config, thresholds=None, calibration=None)
    if dcls is not None:
        if tagger.config.dcls is not None:
            raise RecipeError(f"{model.init} has [dcls] already; leave it out of the recipe")
        swap_convs(tagger.backbone, **dcls)
        tagger.config = replace(tagger.config, dcls=dcls)
    if tagger.labels == labels:
        return tagger, False
    if model.head == PROBE:
        kept = len(tagger.labels) if model.keep_labels else 0
        replace_last_layer(tagger.backbone, len(labels), kept)
    else:
        cast(Any, tagger.backbone).reset_classifier(len(labels))
    tagger.config = replace(tagger.config, labels=labels)
    return tagger, True


def check_crops(tagger: Model, recipe: Recipe) -> None:
    """Raise a ModelError if the model does not take crops of every length."""
    for seconds in recipe.data.crop_seconds:
        silence = torch.zeros(1, round(seconds * tagger.sample_rate), device=tagger.device)
        maps = tagger.features(silence)
        try:
            with torch.inference_mode():
                tagger.eval().backbone(maps)
        except (RuntimeError, AssertionError, ValueError) as error:
            rows, columns = maps.shape[2:]
            raise ModelError(
                f"{tagger.name} does not take a crop of {seconds:g} s, {rows} mels x {columns} "
                f"frames ({error}); change data.crop_seconds, [features] or model.args (a vision "
                f"transformer takes img_size = [{rows}, {columns}])"
            ) from error


def check_erasing(tagger: Model, recipe: Recipe) -> None:
    """Raise a RecipeError if the recipe erases in power spectrograms and the front end has none."""
    if recipe.augment.erase_prob and not hasattr(tagger.features, "from_power"):
        raise RecipeError(
            f"augment.erase_prob needs the front end log_mel; {tagger.name} has another"
        )


def set_priors(backbone: nn.Module, frequencies: Tensor, temperature: float = 1.0) -> None:
    """Set the biases of a new head so that each class starts with its frequency as its score.

    Otherwise learning the frequencies would take thousands of steps, as a bias changes by about one
    learning rate a step (arXiv 1708.02002, 4.1).

    Args:
        backbone: The backbone with the head.
        frequencies: Fraction of the clips that have each class (classes,).
        temperature: Logits are divided by it before the sigmoid.
    """
    last = last_layer(backbone)
    with torch.no_grad():
        cast(Tensor, last.bias).copy_(frequencies.clamp(RAREST, 1 - RAREST).logit() * temperature)
