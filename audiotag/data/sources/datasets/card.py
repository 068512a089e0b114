"""What the card of a data set on the Hub, its README.md, says in its first lines (YAML)."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from audiotag.errors import DataError

CARD = "README.md"
DEFAULT = "default"


@dataclass(frozen=True)
class DatasetCard:
    """A card.

    Attributes:
        patterns: Of the files of each configuration, by its name.
        names: Of the classes of each column of numbers, by configuration.
    """

    patterns: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def choose(self, name: str, config: str | None) -> str | None:
        """The configuration to use: the one that is wanted, "default", or the only one.

        Args:
            name: The data set's, for messages.
            config: The one that the user wants.

        Raises:
            DataError: If there is no such one, or there are several and none is wanted.
        """
        known = list(self.patterns)
        if config is not None and config not in known:
            has = f"it has {', '.join(known)}" if known else "its card names none"
            raise DataError(f"{name} has no configuration {config}; {has}")
        if config is None and len(known) > 1 and DEFAULT not in known:
            raise DataError(
                f"{name} has the configurations {', '.join(known)}; choose one with --config"
            )
        return config or (DEFAULT if DEFAULT in known else next(iter(known), None))

    def files(self, config: str | None, names: Sequence[str]) -> list[str]:
        """Those of some files that belong to a configuration."""
        patterns = self.patterns.get(config or "", [])
        if not patterns:
            return list(names)
        return [name for name in names if any(fnmatch.fnmatch(name, x) for x in patterns)]


def read_card(folder: Path) -> DatasetCard:
    """The card in a folder; an empty one where there is none, or it says nothing."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8-sig")
        values = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
    except (OSError, ValueError, yaml.YAMLError, IndexError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return DatasetCard()
    return DatasetCard(
        {
            str(one.get("config_name", DEFAULT)): _patterns(one.get("data_files"), one)
            for one in _list(values.get("configs"))
        },
        {
            str(one.get("config_name", DEFAULT)): _names(one.get("features"))
            for one in _list(values.get("dataset_info"))
        },
    )


def _list(value: Any) -> list[dict]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _patterns(value: Any, config: dict) -> list[str]:
    """The patterns in `data_files`: a text, a list of them, or for each split one of these."""
    base = f"{config['data_dir']}/" if isinstance(config.get("data_dir"), str) else ""
    if isinstance(value, str):
        return [base + value]
    if isinstance(value, list):
        return [pattern for one in value for pattern in _patterns(one, config)]
    if isinstance(value, dict):
        return _patterns(value.get("path"), config)
    return [f"{base}*"] if base else []


def _names(features: Any) -> dict[str, list[str]]:
    found = {str(one.get("name")): _class_names(one) for one in _list(features)}
    return {name: names for name, names in found.items() if names}


def _class_names(feature: Any) -> list[str]:
    """Names in `dtype: class_label: names`, which may lie in a `sequence` or a `list`."""
    if not isinstance(feature, dict):
        return []
    for inner in ("dtype", "sequence", "list"):
        if found := _class_names(feature.get(inner)):
            return found
    names = feature["class_label"].get("names") if _is_class_label(feature) else None
    if isinstance(names, dict):
        return [str(names[key]) for key in sorted(names, key=_number)]
    return [str(name) for name in names] if isinstance(names, list) else []


def _is_class_label(feature: dict) -> bool:
    return isinstance(feature.get("class_label"), dict)


def _number(key: Any) -> int:
    return int(key) if str(key).isdecimal() else 0
