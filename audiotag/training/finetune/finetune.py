"""Fine-tuning: a trained model adapted to the labels of a data set.

It begins with the probe: a head by logistic regression on what the frozen backbone gives, in
seconds. From there all layers learn, as long as validation gains; weights that are not better than
the probe by more than chance give way to it.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from audiotag.models.folder import RECIPE_FILE
from audiotag.runtime.distributed import launched_rank
from audiotag.training.finetune.kept_labels import kept_labels
from audiotag.training.finetune.label_warnings import label_warnings
from audiotag.training.finetune.outcome import outcome
from audiotag.training.finetune.plan import plan
from audiotag.training.loop import train
from audiotag.training.recipe.finetune import AUTO, FULL, resumed_recipe
from audiotag.training.recipe.sections import PROBE


def finetune(
    model: str,
    data: Path,
    out: Path,
    device: torch.device,
    overrides: Iterable[str] = (),
    resume: bool = False,
    method: str | None = None,
    keep: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> tuple[str, ...]:
    """Adapt a trained model by a recipe that fits the number and the length of the clips.

    Args:
        model: Model folder, Hub id, name or "default".
        data: A prepared data set.
        out: The run folder; see `loop.train`.
        device: Where to train.
        overrides: Changes of the recipe; see `recipe.toml.override`.
        resume: Continue the run in `out`, if there is one, with its own recipe.
        method: "probe" (the backbone stays as it is), "full" (all layers, from a random head) or
            "auto" (the probe, and all layers from it on where that is better); "auto" if None.
        keep: Add the labels to those of the model.
        tell: Called with what there is to say before the training.

    Returns:
        What was reached, sentence by sentence; nothing in all processes but the first, where
        torchrun started several.

    Raises:
        RecipeError, DataError, ModelError: As `loop.train`.
    """
    changes = [*overrides, *(["model.keep_labels=true"] if keep else [])]
    if resume and (out / RECIPE_FILE).exists():
        if method is not None:
            changes.insert(0, f'model.head="{"random" if method == FULL else PROBE}"')
        recipe = resumed_recipe(out, model, changes)
    else:
        recipe = plan(model, data, changes, method or AUTO, keep, tell)
    for sentence in label_warnings(recipe, data):
        tell(sentence)
    start = time.monotonic()
    train(recipe, data, out, device, resume)
    if launched_rank():
        return ()
    notes = outcome(out, recipe, data, device, time.monotonic() - start)
    return (*notes, *kept_labels(out, recipe, data, device))
