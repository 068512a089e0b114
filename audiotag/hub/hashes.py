"""Files from the Hub, compared with the hashes that the Hub states for them."""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from audiotag.hub.failures import AlteredFile

SHA256, GIT_BLOB = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}")
PART = 2**20  # bytes read at once
logger = logging.getLogger(__name__)


def stated_hashes(siblings: Iterable[Any]) -> dict[str, str]:
    """The hash of each file of a repository, by name: SHA-256 for large files, else git's."""
    found = {
        file.rfilename: file.blob_id if file.lfs is None else file.lfs.sha256 for file in siblings
    }
    return {name: x for name, x in found.items() if isinstance(x, str)}


def check_files(folder: Path, names: Iterable[str], stated: Mapping[str, str]) -> None:
    """Compare files of a model folder with their hashes, and remove those that differ.

    Args:
        folder: A model folder, in the Hub's cache or elsewhere.
        names: Names of the files; missing files are ignored.
        stated: Hashes by name. For a file in the cache without one, the hash is known from the
            download: it is the name of the file that the link points to.

    Raises:
        AlteredFile: If a file differs.
    """
    altered = [name for name in sorted(names) if _is_altered(folder / name, stated.get(name))]
    for name in altered:
        path = folder / name
        logger.warning("Removed %s, which differs from the hash that the Hub states", path)
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    if altered:
        raise AlteredFile(f"{' and '.join(altered)} differed from the Hub's hash, and was removed")


def _is_altered(path: Path, stated: str | None) -> bool:
    if not path.is_file():
        return False
    expected = stated or (path.resolve().name if path.is_symlink() else "")
    if SHA256.fullmatch(expected):
        return _hash(path, hashlib.sha256()) != expected
    if GIT_BLOB.fullmatch(expected):
        start = b"blob %d\0" % path.stat().st_size
        return _hash(path, hashlib.sha1(start, usedforsecurity=False)) != expected
    return False  # a mirror of the Hub that states no hashes


def _hash(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while part := file.read(PART):
            digest.update(part)
    return str(digest.hexdigest())
