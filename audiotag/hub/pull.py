"""Downloading a model from the Hugging Face Hub.

The cache and the environment variables are the Hub's own: HF_TOKEN, HF_HOME, HF_ENDPOINT,
HF_HUB_OFFLINE. Only the files of a model folder are downloaded, so never a pickle.
"""

import logging
import shlex
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx, tqdm

from audiotag.errors import HubError
from audiotag.hub.classifiers import check_classifier
from audiotag.hub.client import CONVERTIBLE, PICKLES, HubId, open_client
from audiotag.hub.converted import check_layout, converted
from audiotag.hub.failures import (
    AlteredFile,
    explained,
    is_unreachable,
    patiently,
    sentence,
    transferring,
)
from audiotag.hub.hashes import check_files, stated_hashes
from audiotag.models.folder import CONFIG_FILE, FILES, WEIGHTS_FILE, is_own_config
from audiotag.models.transformers.folder import EXTRACTOR_FILE, is_classifier_config
from audiotag.models.transformers.folder import FILES as CLASSIFIER

WANTED = (*FILES, EXTRACTOR_FILE)  # what is downloaded of a repository, if it has them
logger = logging.getLogger(__name__)


def pull(
    repo_id: str,
    *,
    revision: str | None = None,
    local_dir: Path | str | None = None,
    verify: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """The folder of a model on the Hub; files that are not in the cache are downloaded.

    A model of another publisher is converted, once, if `convert` knows its layout, and used as it
    is if it is an audio classifier of transformers. If the Hub cannot be reached, a copy in the
    cache is used.

    Args:
        repo_id: `owner/name` or `owner/name@revision`.
        revision: Branch, tag or commit; the main branch unless given.
        local_dir: Download into this folder instead of the cache.
        verify: Compare the files with the Hub's hashes.
        token: Instead of HF_TOKEN or the one of `hf auth login`.
        endpoint: Address of the Hub, or of a mirror; HF_ENDPOINT unless given.

    Raises:
        HubError: If the model cannot be downloaded, has no known layout, or a file is damaged.
        ModelError: If another publisher's model does not fit its architecture.
    """
    source = HubId.parse(repo_id, revision)
    api = open_client(token, endpoint)
    with explained(api, source.name, source.revision, local_dir):
        if local_dir or verify:
            folder = patiently(partial(_fetched, api, source, local_dir))
        else:
            folder = _fetched_or_cached(api, source)
        is_usable = _is_usable(folder / CONFIG_FILE)
        if verify:
            patiently(partial(_verify, api, source, local_dir if is_usable else None))
        return folder if is_usable else converted(source.name, folder / WEIGHTS_FILE, local_dir)


def _fetched_or_cached(api: HfApi, source: HubId) -> Path:
    """The folder of a model as it is on the Hub now; if the Hub cannot be reached, as it is in the
    cache.

    Raises:
        HubError: If neither has it.
    """
    cached = _cached(api, source)
    fetch = partial(_fetched, api, source)
    try:
        return _fetched_again(fetch) if cached else patiently(fetch)
    except (httpx.HTTPError, OSError) as error:  # HTTP statuses are OSErrors too
        if not is_unreachable(error):
            raise
        reason = sentence(error, api, source.name, source.revision)
        if cached is None:
            raise HubError(f"{source} is not in the cache, and {reason}") from error
        if not isinstance(error, OfflineModeIsEnabled):
            logger.warning("Using the cached copy of %s: %s", source, reason)
        check_files(cached, WANTED, {})
        return cached


def _fetched_again(fetch: Callable[[], Path]) -> Path:
    """The result of a function that finds its files in the cache; repeated if they are damaged."""
    try:
        return fetch()
    except AlteredFile:
        return patiently(fetch)


def _fetched(api: HfApi, source: HubId, local_dir: Path | str | None = None) -> Path:
    """The folder of a model as it is on the Hub now; for another publisher's, that of its weights.

    Raises:
        HubError: If it has no known layout, before its weights are downloaded.
    """
    with transferring():
        info = api.model_info(source.name, revision=source.revision, files_metadata=True)
        siblings = info.siblings or ()
        names = {str(file.rfilename) for file in siblings}
        stated = stated_hashes(siblings)
    if WEIGHTS_FILE not in names:
        raise HubError(_lacking(source, names))
    config = _download(api, source, CONFIG_FILE) if CONFIG_FILE in names else None
    if config is not None:
        check_files(config.parent, [CONFIG_FILE], stated)
        if is_classifier_config(config):
            check_classifier(source.name, names)
            names.intersection_update(CLASSIFIER)
    if config is None or not _is_usable(config):
        folder = _fetched_published(api, source, info.sha, config)
    elif not local_dir and all(
        (config.parent / name).is_file() for name in names.intersection(WANTED)
    ):
        folder = config.parent  # all is there: no progress bars
    else:
        folder = _snapshot(api, source, names.intersection(WANTED), local_dir=local_dir)
    check_files(folder, names.intersection(WANTED), stated)
    return folder


def _is_usable(config: Path) -> bool:
    """Whether a model with this `config.json` is used as it is."""
    return is_own_config(config) or is_classifier_config(config)


def _fetched_published(api: HfApi, source: HubId, commit: str | None, config: Path | None) -> Path:
    """The folder, in the cache, with another publisher's weights."""
    is_cached = try_to_load_from_cache(source.name, WEIGHTS_FILE, revision=commit)
    if not is_cached:
        reason = f"its {CONFIG_FILE} is not audiotag's" if config else f"it has no {CONFIG_FILE}"
        check_layout(api, source.name, source.revision, reason)
    return _download(api, source, WEIGHTS_FILE).parent


def _download(api: HfApi, source: HubId, name: str) -> Path:
    with transferring():
        return Path(api.hf_hub_download(source.name, name, revision=source.revision))


def _snapshot(
    api: HfApi,
    source: HubId,
    names: Iterable[str] = WANTED,
    local_dir: Path | str | None = None,
    local_files_only: bool = False,
) -> Path:
    """Download a model's files; progress is shown on a terminal."""
    bars: list[tqdm] = []

    class Bar(tqdm):  # closed below: the client leaves its bars where other text is printed next
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **{**kwargs, "leave": False})
            bars.append(self)

    try:
        with transferring():
            folder = api.snapshot_download(
                source.name,
                revision=source.revision,
                allow_patterns=sorted(names),
                tqdm_class=Bar,
                local_dir=local_dir,
                local_files_only=local_files_only,
            )
    finally:
        for bar in bars:
            bar.close()
    return Path(folder)


def _cached(api: HfApi, source: HubId) -> Path | None:
    """The copy of a model in the cache, if it has weights."""
    for names in (WANTED, CLASSIFIER):  # the client takes no copy without a file that is wanted
        with suppress(LocalEntryNotFoundError):
            folder = _snapshot(api, source, names, local_files_only=True)
            return folder if (folder / WEIGHTS_FILE).is_file() else None
    return None


def _lacking(source: HubId, names: Collection[str]) -> str:
    """The message for a repository without usable weights."""
    lacking = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if name not in names]
    message = f"{source} is not an audiotag model: it has no {' and no '.join(lacking)}"
    pickles = sorted((x for x in names if x.endswith(PICKLES)), key=_is_inconvertible)
    if not pickles:
        return f"{message}; choose a model that audiotag push made"
    message += f", and {pickles[0]} is a pickle, which is never loaded unasked; "
    if _is_inconvertible(pickles[0]):
        return f"{message}choose a model with a {WEIGHTS_FILE}"
    file, folder = shlex.quote(pickles[0]), source.name.split("/")[1]
    revision = f" --revision {source.revision}" if source.revision else ""
    return (
        f"{message}run: hf download {source.name} {file}{revision} --local-dir . && "
        f"audiotag convert {file} {folder}"
    )


def _is_inconvertible(name: str) -> bool:
    return not name.endswith(CONVERTIBLE)


def _verify(api: HfApi, source: HubId, local_dir: Path | str | None) -> None:
    """Raise a HubError that names the files whose hashes differ from the Hub's."""
    found = api.verify_repo_checksums(source.name, revision=source.revision, local_dir=local_dir)
    damaged = [(found.verified_path / file["path"]).resolve() for file in found.mismatches]
    if damaged:
        raise HubError(
            f"{source}: {', '.join(file['path'] for file in found.mismatches)} differs from the "
            f"Hub's hash; delete {' and '.join(map(str, damaged))} and pull again"
        )
