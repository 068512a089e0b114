"""Models in the caches of the Hugging Face Hub: listing and removing them.

The Hub's cache holds downloaded models, in one folder for each commit. Its assets cache holds
models that were converted from other publishers' weights.
"""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CachedRevisionInfo, HFCacheInfo, constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from audiotag.errors import HubError
from audiotag.hub.client import HubId
from audiotag.hub.converted import assets_of, kept
from audiotag.hub.published import cached_name
from audiotag.models.folder import CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE, is_own_config
from audiotag.models.published.names import MODELS
from audiotag.models.transformers.folder import is_classifier

SHOWN_COMMIT = 8  # of its 40 digits


@dataclass(frozen=True)
class CachedModel:
    """One commit of a model in the cache.

    Attributes:
        name: `owner/name`; of a published model that is not on the Hub, its name.
        commit: Its hash; of a published model, its release.
        refs: Branches and tags that pointed to it when it was downloaded.
        folder: The model folder.
        converted: Model folders made from another publisher's weights, one for each version of
            audiotag.
        size: Bytes of all its files; files that two commits share count for both.
        used: When its weights were last read, in seconds since 1970, from the file system.
    """

    name: str
    commit: str
    refs: tuple[str, ...]
    folder: Path
    converted: tuple[Path, ...]
    size: int
    used: float

    @property
    def revision(self) -> str:
        """The revision to write after `@`."""
        return self.refs[0] if self.refs else self.commit[:SHOWN_COMMIT]

    def is_meant(self, wanted: HubId) -> bool:
        """Whether a Hub id means this model; a Hub id without a revision means all revisions."""
        is_named = wanted.revision in (None, *self.refs)
        return wanted.name == self.name and (
            is_named or self.commit.startswith(f"{wanted.revision}")
        )


def cached_models() -> list[CachedModel]:
    """The models in the caches that audiotag can use, ordered by name and commit."""
    converted = defaultdict(list)
    for name, commit, folder in sorted(kept()):
        converted[name, commit].append(folder)
    downloaded = {
        (repo.repo_id, revision.commit_hash): revision
        for repo in _downloads().repos
        for revision in repo.revisions
    }
    keys = sorted(converted.keys() | downloaded.keys())
    found = (_model(*key, downloaded.get(key), converted.get(key, [])) for key in keys)
    return [model for model in found if model is not None]


def remove(repo_id: str) -> int:
    """Remove a model from the caches.

    Args:
        repo_id: `owner/name` for all its revisions, `owner/name@revision`, or the name of a
            published model.

    Returns:
        Bytes freed.

    Raises:
        HubError: If it is not a Hub id, or no such model is in the caches.
    """
    wanted = meant(repo_id)
    models = [model for model in cached_models() if model.is_meant(wanted)]
    downloads = _downloads()
    # Only in this repository: a copy of it on the Hub has the same commits.
    own = frozenset(repo for repo in downloads.repos if repo.repo_id == wanted.name)
    unwanted = {revision.commit_hash for repo in own for revision in repo.revisions}
    folders = {folder for model in models for folder in _assets(model)}
    if repo_id in MODELS:  # also what was downloaded, and not converted here
        folders |= {x for x in assets_of(wanted.name).glob("[!.]*") if x.is_dir()}
    else:
        unwanted &= {model.commit for model in models}
    if not unwanted and not folders:
        raise HubError(f"{wanted} is not in the cache; audiotag models lists what is")
    plan = replace(downloads, repos=own).delete_revisions(*unwanted)
    plan.execute()
    freed = plan.expected_freed_size
    for folder in folders:
        freed += _size(folder)
        shutil.rmtree(folder)
    return freed


def meant(name: str) -> HubId:
    """The Hub id of a model, or what stands for it in the cache: see `CachedModel.name`.

    Raises:
        HubError: If it is neither a Hub id nor the name of a published model.
    """
    return HubId(cached_name(MODELS[name])) if name in MODELS else HubId.parse(name)


def _downloads() -> HFCacheInfo:
    """All models in the Hub's cache, audiotag's and others."""
    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return HFCacheInfo(0, frozenset(), frozenset(), [])
    return replace(found, repos=frozenset(x for x in found.repos if x.repo_type == "model"))


def _model(
    name: str, commit: str, download: CachedRevisionInfo | None, converted: Sequence[Path]
) -> CachedModel | None:
    """The model of a commit of a repository; None if audiotag cannot use it."""
    size = sum(map(_size, (*converted, *_original(name, commit))))
    size += 0 if download is None else download.size_on_disk
    refs = () if download is None else tuple(sorted(download.refs))
    if converted:
        folder = converted[-1]
    elif download is not None and _is_usable(download.snapshot_path):
        folder = download.snapshot_path
    else:
        return None
    read = [(folder / name).stat().st_atime for name in _weights(folder)]
    return (
        CachedModel(name, commit, refs, folder, tuple(converted), size, max(read)) if read else None
    )


def _is_usable(folder: Path) -> bool:
    return is_own_config(folder / CONFIG_FILE) or is_classifier(folder)


def _assets(model: CachedModel) -> tuple[Path, ...]:
    """Folders of a model in the assets cache."""
    return (*model.converted, *_original(model.name, model.commit))


def _original(name: str, commit: str) -> tuple[Path, ...]:
    """The folder with what was downloaded of a published model that is not on the Hub, if there."""
    folder = assets_of(name) / commit
    return (folder,) if folder.is_dir() else ()


def _weights(folder: Path) -> list[str]:
    return [name for name in (WEIGHTS_FILE, ONNX_FILE) if (folder / name).is_file()]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
