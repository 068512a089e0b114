"""Training recipes: TOML in, frozen dataclasses, resolved TOML out.

An unknown key or a value that does not fit is refused by its name, with what would.
"""

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tomli_w

from audiotag.errors import RecipeError
from audiotag.runtime.json_text import shown
from audiotag.training.recipe.checks import check_recipe
from audiotag.training.recipe.sections import Recipe

NO_SECTION = "none"
LARGEST = 2**53  # of a whole number: up to here, floats hold it


def load_recipe(path: Path | str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: A TOML file.
        overrides: As for `override`.

    Raises:
        RecipeError: If the file cannot be read, or a key or a value does not fit.
    """
    return parse_recipe(override(read_values(path), overrides))


def read_values(path: Path | str) -> dict[str, Any]:
    """The values of a recipe file as nested dicts, not checked.

    Raises:
        RecipeError: If the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path} is not UTF-8 ({error}); save it as that") from error
    except ValueError as error:  # a number of thousands of digits among them
        raise RecipeError(f"recipe {path} is not TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"recipe {path} is nested too deeply") from error


def parse_recipe(values: dict[str, Any]) -> Recipe:
    """The recipe of nested dicts.

    Raises:
        RecipeError: If a key or a value does not fit, or some exclude each other.
    """
    recipe = _build(Recipe, values, "")
    check_recipe(recipe)
    return recipe


def override(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Put "section.key=value" strings into nested dicts, values as in TOML or bare words;
    "section=none" leaves out a section that a recipe need not have.

    Raises:
        RecipeError: If a string is of another form.
    """
    optional = [section.name for section in dataclasses.fields(Recipe) if section.default is None]
    for text in overrides:
        path, equals, value = text.partition("=")
        if path in optional and value == NO_SECTION:
            values.pop(path, None)
            continue
        if not equals or "." not in path:
            without = " or ".join(f"{name}={NO_SECTION}" for name in optional)
            raise RecipeError(f"--set {text!r}: write section.key=value, {without}")
        *sections, key = path.split(".")
        table = values
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise RecipeError(f"--set {text!r}: {section} is a value, and has no keys")
        table[key] = _parse_value(value)
    return values


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every default written out; `parse_recipe` reads it back.

    TOML has no word for nothing: what is None is left out.
    """
    sections = {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in dataclasses.asdict(recipe).items()
        if section is not None
    }
    return tomli_w.dumps(sections)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _build(cls: type, values: Any, where: str):
    if not isinstance(values, dict):
        raise RecipeError(f"recipe: [{where}] must be a table, got {values!r}")
    kinds = typing.get_type_hints(cls)
    for key in values:
        if key not in kinds:
            raise RecipeError(_unknown(key, where, list(kinds)))
    arguments = {k: _convert(kinds[k], v, f"{where}.{k}".strip(".")) for k, v in values.items()}
    for field in dataclasses.fields(cls):
        if arguments.get(field.name) is not None:
            _check(field, arguments[field.name], f"{where}.{field.name}")
    return cls(**arguments)


def _unknown(key: str, where: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(known)}"
    if "args" in known and not near:
        hint += f"; arguments of what it names go into args: {where}.args.{key}"
    return f"recipe: unknown key {f'{where}.{key}'.strip('.')!r}; {hint}"


def _convert(kind: Any, value: Any, where: str) -> Any:
    """`value` as the field type `kind`; TOML has no tuples, and writes 1 for 1.0."""
    if isinstance(kind, types.UnionType):
        if value == []:  # TOML has no word for nothing
            return None
        kinds = [k for k in typing.get_args(kind) if k is not types.NoneType]
        if len(kinds) > 1 and type(value) not in kinds:
            names = " or ".join(k.__name__ for k in kinds)
            raise RecipeError(f"recipe: {where} must be of type {names}, got {value!r}")
        kind = type(value) if type(value) in kinds else kinds[0]
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    _check_size(value, where)
    origin = typing.get_origin(kind) or kind
    if origin is tuple and isinstance(value, list):
        return _convert_items(typing.get_args(kind), value, where)
    if origin is float and type(value) is int:
        return float(value)
    if type(value) is not origin:
        name = "list" if origin is tuple else origin.__name__  # as TOML calls it
        raise RecipeError(f"recipe: {where} must be of type {name}, got {value!r}")
    return value


def _check_size(value: Any, where: str) -> None:
    """Raise a RecipeError if a value is a number that nothing can be computed with."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"recipe: {where} must be a finite number, got {value}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise RecipeError(f"recipe: {where} must be at most {LARGEST:,}, got {shown(value)}")


def _convert_items(kinds: tuple[Any, ...], values: list[Any], where: str) -> tuple[Any, ...]:
    if Ellipsis not in kinds and len(values) != len(kinds):
        raise RecipeError(f"recipe: {where} must have {len(kinds)} values, got {values!r}")
    if not values:
        raise RecipeError(f"recipe: {where} must have a value, got []")
    return tuple(_convert(kinds[0], item, where) for item in values)


def _check(field: dataclasses.Field, value: Any, where: str) -> None:
    """Raise a RecipeError if the value is none of a field's choices or outside its limits."""
    choices = field.metadata.get("choices")
    if choices is not None and value not in choices:
        raise RecipeError(f"recipe: {where} must be one of {', '.join(choices)}, got {value!r}")
    low, high = field.metadata.get("limits", (None, None))
    if low is not None and not low <= value <= high:
        limits = f"{low} or more" if high == float("inf") else f"between {low} and {high}"
        raise RecipeError(f"recipe: {where} must be {limits}, got {value!r}")
