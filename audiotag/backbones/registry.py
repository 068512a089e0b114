"""Audio backbones in timm's registry."""

from collections.abc import Callable
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from audiotag.layers.swap import take_dcls_arguments


def audio_cfgs(names: tuple[str, ...], first_conv: str, classifier: str) -> dict:
    """timm's default configurations of backbones, for AudioSet's 527 classes and maps of 10 s."""
    cfg = {"input_size": (1, 128, 1001), "num_classes": 527}
    cfg |= {"first_conv": first_conv, "classifier": classifier}
    return generate_default_cfgs({name: cfg for name in names})


def register_audio(
    model: type[nn.Module],
    name: str,
    from_published: Callable,
    dcls: dict[str, Any] | None,
    **defaults: Any,
) -> None:
    """Make `timm.create_model(name)` build a backbone.

    Args:
        model: Class of the backbone; its module must define `default_cfgs`.
        name: Its name in the registry.
        from_published: Function that timm calls with a state dict of published weights and the
            model.
        dcls: Default of the argument `dcls`. Unless it is None, the fields of
            `swap.DclsArguments` can also be given as separate arguments.
        defaults: Defaults of other arguments.
    """

    def create(pretrained: bool = False, **arguments: Any) -> nn.Module:
        arguments = {**defaults, "dcls": dcls, **arguments}
        if arguments["dcls"] is not None:
            arguments["dcls"] = {**arguments["dcls"], **take_dcls_arguments(arguments)}
        features = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
        return build_model_with_cfg(
            model,
            name,
            pretrained,
            pretrained_filter_fn=unless_own(from_published),
            feature_cfg=features,
            **arguments,
        )

    create.__name__ = create.__qualname__ = name
    create.__module__ = model.__module__  # where timm looks for the configuration
    create.__doc__ = f"{model.__name__} with {'7x7 kernels' if dcls is None else 'DCLS'}."
    register_model(create)


def unless_own(from_published: Callable) -> Callable:
    """The same function, but a state dict with all of the model's own keys is returned unchanged:
    it was written by `Model.save`, and must not be renamed."""

    def read(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        is_own = model.state_dict().keys() <= state.keys()
        return state if is_own else from_published(state, model)

    return read
