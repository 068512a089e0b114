"""Training recipes: TOML in, frozen dataclasses, resolved TOML out.

An unknown key or a value of the wrong type is refused by its name, with the names that exist.
"""

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audiotag.errors import RecipeError

FINETUNE = """
[augment]
gain_db = 6.0
speed_prob = 0.5
speed = [0.8, 1.25]

[optim]
lr = 5e-4
warmup_epochs = 2.0
clip_grad = 1.0

[train]
epochs = 40
batch_size = 16
label_smoothing = 0.0
save_every = 5
"""


@dataclass(frozen=True)
class ModelRecipe:
    """The backbone: an architecture name and its arguments, or a trained model to start from."""

    architecture: str = "convnext_dcls_audio_tiny"
    args: dict[str, Any] = field(default_factory=dict)
    init: str | None = None  # model folder or Hub id; its architecture and front end are used
    pretrained: bool = False  # start from the published image model's weights


@dataclass(frozen=True)
class DclsRecipe:
    """Which convolutions of the model become DCLS ones, and how (`swap.swap_convs`)."""

    match_kernel: int | None = None  # only convolutions of this size; any above 1x1 unless given
    depthwise: bool = True  # only depthwise ones; false: all
    kernel_size: int = 23
    kernel_count: int | None = None  # elements; 26, or with init "dense" those of the dense kernel
    version: str = "gauss"  # or "v1" (bilinear), "max" (triangle)
    share: bool = True  # neighbouring convolutions of equal width share their positions
    init: str = "random"  # "dense": start as the convolution that is replaced


@dataclass(frozen=True)
class FeaturesRecipe:
    """The front end by name, and arguments that differ from its defaults."""

    name: str = "log_mel"
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataRecipe:
    """Which clips, and how they are cut and drawn."""

    train_split: str = "train"
    valid_split: str = "valid"
    label_set: str = "data"  # "data": the data set's own labels; "audioset": the 527 classes
    crop_seconds: tuple[float, ...] = (10.0,)  # each batch draws one of these lengths
    epoch_clips: int | None = None  # clips drawn in an epoch; all of them unless given
    balance: float = 0.0  # clips are drawn with weight count(class) ** -balance; 0: each once


@dataclass(frozen=True)
class AugmentRecipe:
    """What is done to waveforms (speed, mix, noise, gain, in this order) and to maps (mixup)."""

    speed_prob: float = 0.0  # chance that a clip is played faster or slower
    speed: tuple[float, float] = (0.5, 1.5)  # by a factor uniform between these

    mix_prob: float = 0.0  # chance that another clip of the batch is added to a clip
    mix_db: tuple[float, float] = (-20.0, 0.0)  # level of the added clip against the first
    noise_prob: float = 0.0  # chance of white noise
    noise_db: tuple[float, float] = (-60.0, -20.0)  # its level against the clip
    gain_db: float = 0.0  # louder or softer, uniform in +- this
    mixup_alpha: float = 0.0  # Beta parameter of mixup on maps, one draw a batch; 0: none


@dataclass(frozen=True)
class OptimRecipe:
    """AdamW, its parameter groups and the schedule (arXiv 2309.13972)."""

    lr: float = 4e-3
    min_lr: float = 1e-6
    warmup_epochs: float = 20.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    position_lr_scale: float = 5.0  # learning rate of DCLS positions and sigmas against the rest
    clip_grad: float | None = None  # largest norm of the gradient


@dataclass(frozen=True)
class TrainRecipe:
    """Length and arithmetic of the run."""

    epochs: int = 60
    batch_size: int = 128
    precision: str = "fp32"  # or "bf16" autocast
    label_smoothing: float = 0.1
    ema_decay: float | None = None  # weights saved are a running average
    save_every: int = 1  # epochs from one validation and checkpoint to the next
    seed: int = 0


@dataclass(frozen=True)
class DistillRecipe:
    """Learning from the scores of a trained model on the same audio."""

    teacher: str = ""  # model folder or Hub id
    temperature: float = 1.0  # logits of both are divided by it
    weight: float = 1.0  # share of the loss; the rest is the labels'


@dataclass(frozen=True)
class Recipe:
    """A training run, complete."""

    model: ModelRecipe = ModelRecipe()
    dcls: DclsRecipe | None = None
    features: FeaturesRecipe = FeaturesRecipe()
    data: DataRecipe = DataRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    optim: OptimRecipe = OptimRecipe()
    train: TrainRecipe = TrainRecipe()
    distill: DistillRecipe | None = None


def load_recipe(path: Path | str, overrides: typing.Iterable[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: A TOML file.
        overrides: "section.key=value" strings, values as in TOML or bare words.

    Raises:
        RecipeError: If the file cannot be read, or a key or a value does not fit.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path} is not TOML: {error}") from error
    for override in overrides:
        _set(values, override)
    return parse_recipe(values)


def parse_recipe(values: dict[str, Any]) -> Recipe:
    """The recipe of nested dicts.

    Raises:
        RecipeError: If a key or a value does not fit.
    """
    return _build(Recipe, values, "")


def finetune_recipe(model: str, overrides: typing.Iterable[str] = ()) -> Recipe:
    """The recipe for adapting a trained model to a small labelled set.

    Args:
        model: Model folder, Hub id or "default".
        overrides: As for `load_recipe`.

    Raises:
        RecipeError: If a key or a value does not fit.
    """
    values = tomllib.loads(FINETUNE)
    values["model"] = {"init": model}
    for override in overrides:
        _set(values, override)
    return parse_recipe(values)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every default written out; `parse_recipe` reads it back."""
    lines: list[str] = []
    for section in dataclasses.fields(recipe):
        values = getattr(recipe, section.name)
        if values is not None:
            lines += _dump_table(section.name, dataclasses.asdict(values))
    return "\n".join(lines)


def _build(cls: type, values: Any, where: str):
    if not isinstance(values, dict):
        raise RecipeError(f"recipe: [{where}] must be a table, got {values!r}")
    known = typing.get_type_hints(cls)
    for key in values:
        if key not in known:
            raise RecipeError(_unknown(key, where, list(known)))
    return cls(**{k: _convert(known[k], v, f"{where}.{k}".strip(".")) for k, v in values.items()})


def _unknown(key: str, where: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(known)}"
    return f"recipe: unknown key {f'{where}.{key}'.strip('.')!r}; {hint}"


def _convert(kind: Any, value: Any, where: str) -> Any:
    """`value` as the field type `kind`; TOML has no tuples, and writes 1 for 1.0."""
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    origin = typing.get_origin(kind) or kind
    if origin is tuple and isinstance(value, list):
        items = [_convert(typing.get_args(kind)[0], item, where) for item in value]
        return tuple(items)
    if origin is float and type(value) is int:
        return float(value)
    if type(value) is not origin:
        raise RecipeError(f"recipe: {where} must be of type {origin.__name__}, got {value!r}")
    return value


def _set(values: dict[str, Any], override: str) -> None:
    """Put "section.key=value" into nested dicts."""
    path, equals, text = override.partition("=")
    if not equals or "." not in path:
        raise RecipeError(f"--set {override!r}: write section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, key = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[key] = value


def _dump_table(name: str, values: dict[str, Any]) -> list[str]:
    lines = [f"[{name}]"]
    tables = {k: v for k, v in values.items() if isinstance(v, dict)}
    for key, value in values.items():
        if key not in tables and value is not None:
            lines.append(f"{key} = {_dump_value(value)}")
    for key, value in tables.items():
        lines += _dump_table(f"{name}.{key}", value) if value else []
    return [*lines, ""] if lines[-1] else lines


def _dump_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_dump_value(item) for item in value)}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
