"""Fine-tuning: a trained model adapted to the labels of a data set."""

from collections.abc import Iterable
from pathlib import Path

import torch

from audiotag.models.folder import RECIPE_FILE
from audiotag.training.loop import train
from audiotag.training.recipe.finetune import finetune_recipe, resumed_recipe, training_durations


def finetune(
    model: str,
    data: Path,
    out: Path,
    device: torch.device,
    overrides: Iterable[str] = (),
    resume: bool = False,
) -> Path:
    """Adapt a trained model by a recipe that fits the number and the length of the clips.

    Args:
        model: Model folder, Hub id or "default".
        data: A prepared data set.
        out: The run folder; see `loop.train`.
        device: Where to train.
        overrides: Changes of the recipe; see `recipe.toml.override`.
        resume: Continue the run in `out`, if there is one, with its own recipe.

    Returns:
        `out`.

    Raises:
        RecipeError, DataError, ModelError: As `loop.train`.
    """
    changes = list(overrides)
    if resume and (out / RECIPE_FILE).exists():
        recipe = resumed_recipe(out, model, changes)
    else:
        recipe = finetune_recipe(model, training_durations(data, changes), changes)
    return train(recipe, data, out, device, resume)
