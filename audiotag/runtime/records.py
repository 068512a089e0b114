"""Records that are stored as JSON, read and checked by the types of their fields."""

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from audiotag.runtime.json_text import shown

Record = TypeVar("Record")


def read_record(cls: type[Record], values: Any, **known: Any) -> Record:
    """A frozen dataclass with the values of a JSON table.

    Args:
        cls: The dataclass; its fields are numbers, text, or None if their type allows it.
        values: The value in the file.
        known: Fields that have been read already.

    Raises:
        ValueError: If it is not a table, lacks a field, or has an unknown one or one of a wrong
            type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{shown(values)} is not a {cls.__name__}")
    own = {x.name: x for x in fields(cls)}  # type: ignore[arg-type]
    kinds = typing.get_type_hints(cls)
    for name, value in values.items():
        if name not in own:
            raise ValueError(f"{shown(name)} is not a part of {cls.__name__}")
        if name not in known and not _fits(value, kinds[name]):
            raise ValueError(f"{name} is {shown(value)}")
    needed = [x.name for x in own.values() if x.default is x.default_factory is MISSING]
    for name in needed:
        if name not in values and name not in known:
            raise ValueError(f"{name} is missing")
    return cls(**{**values, **known})


def _fits(value: Any, kind: Any) -> bool:
    union = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    kinds = [typing.get_origin(one) or one for one in union]
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int) and float in kinds:
        return abs(value) < 2**1000  # as a float, it is finite
    if isinstance(value, float) and not math.isfinite(value):
        return float in kinds
    return type(value) in kinds
