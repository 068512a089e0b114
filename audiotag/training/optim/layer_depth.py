"""The depth of each parameter in a backbone, from the stem (0) to the classifier."""

from typing import Any, cast

from timm.models import group_parameters
from torch import nn

from audiotag.errors import RecipeError


def parameter_depths(model: nn.Module, *, by_stage: bool = False) -> dict[str, int]:
    """Depth of every parameter, by its name; blocks are counted, or whole stages.

    A parameter that several blocks share has the depth of the first of them.

    Args:
        model: Any backbone of timm's registry.
        by_stage: Count stages: the stem is 0, stages start at 1, and the rest comes after the last.

    Raises:
        RecipeError: If the architecture does not define the order of its layers.
    """
    if not hasattr(model, "group_matcher"):
        raise RecipeError(
            f"{type(model).__name__} does not say in which order its layers come; "
            'leave out optim.layer_decay, and freeze nothing or "backbone"'
        )
    matcher = cast(Any, model).group_matcher(coarse=by_stage)
    return cast(dict[str, int], group_parameters(model, matcher, reverse=True))
