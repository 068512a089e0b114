"""Packages hidden from a Python of its own, as if they were not installed."""

from collections.abc import Iterable
from pathlib import Path

# Python imports it at its start. It hides the packages as if they were not installed.
SITECUSTOMIZE = """
import importlib.metadata, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *others):
        is_hidden = name.partition(".")[0] in HIDDEN
        return None if is_hidden else self.finder.find_spec(name, *others)

find = importlib.metadata.Distribution.from_name.__func__

def from_name(cls, name):
    if name.lower() in {name.lower() for name in HIDDEN}:
        raise importlib.metadata.PackageNotFoundError(name)
    return find(cls, name)

importlib.metadata.Distribution.from_name = classmethod(from_name)
sys.meta_path[:] = map(Without, sys.meta_path)
"""


def hide_packages(folder: Path, modules: Iterable[str]) -> None:
    """Write into a folder what, on PYTHONPATH, hides modules and the packages of these names."""
    (folder / "sitecustomize.py").write_text(f"HIDDEN = {tuple(modules)!r}\n{SITECUSTOMIZE}")
