"""Layouts of published checkpoints, recognised by their keys, without torch."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from audiotag.errors import ModelError

SHOWN = 4  # keys named in an error message


@dataclass(frozen=True)
class Layout:
    """A publisher's checkpoint format.

    Attributes:
        name: Its name in messages.
        keys: Keys that every checkpoint of this layout has, and none of another layout.
    """

    name: str
    keys: frozenset[str]


EFFICIENTAT = Layout(
    "EfficientAT mn",
    frozenset(
        {
            "features.15.block.2.conc_se_layers.0.fc1.weight",
            "classifier.2.weight",
            "classifier.5.weight",
        }
    ),
)
CONVNEXT_TINY_AT = Layout(
    "ConvNeXt-Tiny-AT",
    frozenset({"bn0.weight", "stages.0.0.dwconv.weight", "head_audioset.weight"}),
)
CONVNEXT = Layout(
    "DCLS-Audio ConvNeXt",
    frozenset({"downsample_layers.0.0.weight", "stages.0.0.dwconv.weight", "head.weight"}),
)
CONVFORMER = Layout(
    "DCLS-Audio ConvFormer",
    frozenset(
        {
            "downsample_layers.0.conv.weight",
            "stages.0.0.token_mixer.dwconv.weight",
            "head.fc2.weight",
        }
    ),
)
FASTVIT = Layout(
    "DCLS-Audio FastViT",
    frozenset({"patch_embed.weight", "network.0.0.layer_scale", "head.weight"}),
)
CED = Layout(
    "CED",  # on Zenodo
    frozenset({"init_bn.1.running_mean", "time_pos_embed", "outputlayer.1.weight"}),
)
CED_HUB = Layout(
    "CED on the Hub",
    frozenset({"encoder.init_bn.running_mean", "encoder.time_pos_embed", "outputlayer.1.weight"}),
)
LAYOUTS = (EFFICIENTAT, CONVNEXT_TINY_AT, CONVNEXT, CONVFORMER, FASTVIT, CED, CED_HUB)


def recognise(keys: Collection[str], source: object) -> tuple[Layout, tuple[str, ...]]:
    """The layout that has these keys, and what stands before them.

    Training programs wrap a model in others, as in `module.` or `state_dict.net.`; some keep it
    twice, as in `model.` and `model_ema.`.

    Args:
        keys: Names of a checkpoint's tensors.
        source: The checkpoint's name in messages.

    Returns:
        The layout, and all prefixes of whole names under which it lies; "" for none.

    Raises:
        ModelError: If no layout has them; says what was expected and what was found.
    """
    names = set(keys)
    for layout in LAYOUTS:
        if prefixes := tuple(sorted(_prefixes(layout, names))):
            return layout, prefixes
    known = ", or ".join(f"{x.name} (with {', '.join(sorted(x.keys))})" for x in LAYOUTS)
    raise ModelError(f"{source} has an unknown layout: expected {known}; found {first(keys)}")


def _prefixes(layout: Layout, names: set[str]) -> Iterator[str]:
    """What stands before all keys of a layout."""
    longest = max(layout.keys, key=len)
    for name in names:
        prefix = name.removesuffix(longest)
        if prefix != name and (not prefix or prefix.endswith(".")):
            if all(f"{prefix}{key}" in names for key in layout.keys):
                yield prefix


def first(keys: Iterable[object]) -> str:
    """The number of keys and the first few, for a message."""
    names = [str(key) for key in keys]
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} keys: {', '.join(names[:SHOWN])}{more}"
