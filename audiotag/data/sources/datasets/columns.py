"""Which columns of a data set are the audio, the labels, the fold and the group of a recording."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from audiotag.errors import DataError

LABELS = ("label", "labels", "category", "categories", "class", "classes", "class_name", "tags")
NUMBERS = ("target", "targets", "class_id", "classID", "label_id", "label_ids")
GROUPS = ("group", "src_file", "fsID")  # recordings of one source
FOLD, SPLIT = "fold", "split"
AUDIO = ("audio", "sound", "wav", "flac", "mp3")
METADATA = b"huggingface"  # in a schema's metadata: the types that `datasets` knows
BYTES, PATH, ARRAY, RATE = "bytes", "path", "array", "sampling_rate"
Names = Mapping[str, Sequence[str]]  # of the classes, by column


@dataclass(frozen=True)
class Columns:
    """Names of columns; None where there is none.

    Attributes:
        audio: The audio.
        label: The labels.
        names: Of the classes that the labels are numbers of; empty if they are texts.
        fold, group, split: What else is known of a recording.
    """

    audio: str
    label: str | None
    names: tuple[str, ...] = ()
    fold: str | None = None
    group: str | None = None
    split: str | None = None

    @property
    def all(self) -> list[str]:
        """Those that there are, each once."""
        found = (self.audio, self.label, self.fold, self.group, self.split)
        return list(dict.fromkeys(name for name in found if name is not None))


def find_columns(
    place: str,
    known: Collection[str],
    names: Names,
    audio: str,
    label: str | None = None,
) -> Columns:
    """The columns of a table.

    Args:
        place: What messages call it.
        known: All columns.
        names: Of the classes of those that hold their numbers.
        audio: The one of the audio.
        label: The one of the labels, if the user says it.

    Raises:
        DataError: If it has no such column, or it is not clear which holds the labels.
    """
    if label is not None and label not in known:
        raise DataError(f"{place} has no column {label}; it has {', '.join(known)}")
    chosen = label or _label(known, names)
    if chosen is None:
        others = ", ".join(name for name in known if name != audio) or "no other"
        raise DataError(
            f"{place} has no column called {', '.join(LABELS[:3])} or the like; say with --label "
            f"which one holds the labels, of {others}"
        )
    return Columns(
        audio,
        chosen,
        tuple(names.get(chosen, ())),
        FOLD if FOLD in known else None,
        next((name for name in GROUPS if name in known), None),
        SPLIT if SPLIT in known else None,
    )


def _label(known: Collection[str], names: Names) -> str | None:
    """The column of labels: one that is called so, before the only one with named classes, before
    one of numbers without names."""
    called = [name for name in LABELS if name in known]
    named = [name for name in names if name in known]
    numbers = [name for name in NUMBERS if name in known]
    if called:
        return called[0]
    return named[0] if len(named) == 1 else next(iter(numbers), None)


def audio_column(place: str, schema: pa.Schema, wanted: str | None = None) -> str | None:
    """The column of a parquet or Arrow table that holds audio; None if none does.

    Raises:
        DataError: If the user wants one that does not, or it is not clear which of several it is.
    """
    types = _types(schema)
    kinds = {field.name: _has_audio(field, types.get(field.name)) for field in schema}
    found = [name for name, is_audio in kinds.items() if is_audio]
    if wanted is not None:
        if wanted not in found:
            raise DataError(f"{place} has no column {wanted} of audio, but {', '.join(found)}")
        return wanted
    if len(found) > 1 and AUDIO[0] not in found:
        raise DataError(f"{place} has audio in {', '.join(found)}; choose one with --audio")
    return AUDIO[0] if AUDIO[0] in found else next(iter(found), None)


def _has_audio(field: pa.Field, type_: Any) -> bool:
    said = type_.get("_type") if isinstance(type_, dict) else None
    if said is not None:
        return said == "Audio"
    if pa.types.is_struct(field.type):
        parts = {part.name for part in field.type}
        return BYTES in parts or {ARRAY, RATE} <= parts
    is_binary = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    return is_binary and field.name in AUDIO


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of the classes in each column of numbers whose type in `datasets` is ClassLabel, or a
    list of it."""
    found = {name: _class_label(type_) for name, type_ in _types(schema).items()}
    return {name: names for name, names in found.items() if names}


def _types(schema: pa.Schema) -> dict[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[METADATA])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _class_label(type_: Any) -> list[str]:
    if isinstance(type_, list) and len(type_) == 1:
        return _class_label(type_[0])
    if not isinstance(type_, dict):
        return []
    if type_.get("_type") == "ClassLabel" and isinstance(type_.get("names"), list):
        return [str(name) for name in type_["names"]]
    return _class_label(type_.get("feature"))


class LabelError(ValueError):
    """Why a value is no label."""


def labels_of(value: Any, names: Sequence[str]) -> tuple[str, ...]:
    """The labels that a value stands for: a text (several joined by `;`), a number, or a list.

    Nothing, and -1, stand for no label.

    Raises:
        LabelError: If it is something else, or a number without a name.
    """
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(x for one in value for x in labels_of(one, names)))
    if isinstance(value, str):
        if names and value not in names and value.strip().isdecimal():
            return labels_of(int(value), names)
        return tuple(part.strip() for part in value.split(";") if part.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise LabelError(f"its label {str(value)[:40]!r} is neither a text nor a whole number")
    if not names:
        return (str(int(value)),)
    if value == -1:
        return ()
    if not 0 <= value < len(names):
        raise LabelError(f"its label {int(value)} is none of the {len(names)} classes")
    return (names[int(value)],)
