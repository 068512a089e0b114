"""The catalogue: models that can be used here without another download."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from audiotag.loading import DEFAULT_NAME, model_folder
from audiotag.tagger import CONFIG_FILE, WEIGHTS_FILE, TaggerConfig


@dataclass(frozen=True)
class Entry:
    """A model with weights.

    Attributes:
        name: What `--model` calls it.
        architecture: Its backbone.
        classes: Number of labels.
        size: Bytes of weights.
    """

    name: str
    architecture: str
    classes: int
    size: int


def embedded() -> list[Entry]:
    """The model that comes with the package."""
    return _entries(DEFAULT_NAME, model_folder(None))


def downloaded() -> list[Entry]:
    """Models in the Hugging Face Hub's cache that are taggers, in alphabetical order."""
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found: dict[str, Entry] = {}
    for repo in repos:
        for revision in sorted(repo.revisions, key=lambda revision: revision.last_modified):
            for entry in _entries(repo.repo_id, revision.snapshot_path):
                found[repo.repo_id] = entry  # of several revisions the latest
    return [found[name] for name in sorted(found)]


def _entries(name: str, folder: Path) -> list[Entry]:
    """The model in a folder, if there is one."""
    try:
        config = TaggerConfig.from_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        size = (folder / WEIGHTS_FILE).stat().st_size
    except (OSError, KeyError, ValueError, TypeError):
        return []
    return [Entry(name, config.architecture, len(config.labels), size)]
