"""Published models by name: downloaded and converted when first used, then read from the caches.

The Hub's files lie in its own cache, those of Zenodo and GitHub beside what is converted from them,
in the Hub's assets cache.
"""

import logging
import os
from functools import partial
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from audiotag.errors import HubError, ModelError
from audiotag.hub.converted import assets_of, check_converter, converted, kept_folder
from audiotag.hub.pull import pull
from audiotag.models.published.names import GITHUB, HUB, PublishedModel, base

logger = logging.getLogger(__name__)


def published_folder(
    model: PublishedModel,
    *,
    local_dir: Path | str | None = None,
    verify: bool = False,
    token: str | None = None,
) -> Path:
    """The folder of a published model; nothing is asked of the network once it is there.

    Args:
        model: Which.
        local_dir: Make the folder here, every time, instead of in the assets cache.
        verify: Compare the published file with its checksum.
        token: For the Hub, instead of HF_TOKEN or the one of `hf auth login`.

    Raises:
        HubError: If it cannot be downloaded, or PyTorch, which converts it, is not installed.
        ModelError: If the file does not hold the model.
        OutputError: If the folder cannot be written.
    """
    weights = published_file(model)
    if weights is not None and not (local_dir or verify):
        if (folder := kept_folder(cached_name(model), weights)) is not None:
            return folder
    check_converter(model.name)
    if weights is None and constants.HF_HUB_OFFLINE:
        raise HubError(f"{model.name} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it")
    if model.host != HUB:
        return _from_archive(model, local_dir, verify)
    if weights is None:
        _announce(model, 0)
    return pull(model.place, local_dir=local_dir, verify=verify, token=token, endpoint=_hub())


def published_file(model: PublishedModel) -> Path | None:
    """The file with a model's published weights, if it has been downloaded."""
    if model.host == HUB:
        found = try_to_load_from_cache(model.place, model.file)
        return Path(found) if isinstance(found, str) else None
    file = _archive_file(model)
    return file if file.is_file() else None


def is_here(model: PublishedModel) -> bool:
    """Whether a model can be used without a download or a conversion."""
    weights = published_file(model)
    return weights is not None and kept_folder(cached_name(model), weights) is not None


def cached_name(model: PublishedModel) -> str:
    """What the caches call a model."""
    return model.place if model.host == HUB else model.name


def _archive_file(model: PublishedModel) -> Path:
    return assets_of(model.name) / model.version / model.file


def _from_archive(model: PublishedModel, local_dir: Path | str | None, verify: bool) -> Path:
    file = _archive_file(model)
    if verify and model.host == GITHUB and model.checksum is None:
        raise HubError(f"{model.name}: nobody states a checksum of it; leave out --verify")
    if verify or not file.is_file():
        from audiotag.hub.download import download

        download(model, file, partial(_announce, model))
    try:
        return converted(model.name, file, local_dir)
    except ModelError:
        file.unlink(missing_ok=True)  # so that the next attempt downloads it again
        raise


def _hub() -> str:
    """Address of the Hub: that of HF_ENDPOINT, of the mirror, or its own."""
    return constants.ENDPOINT if "HF_ENDPOINT" in os.environ else base(HUB)


def _announce(model: PublishedModel, size: int) -> None:
    """Say what is about to be downloaded, from where, and on what terms."""
    megabytes = size / 1e6 or model.megabytes
    page = f"{_hub()}/{model.place}" if model.host == HUB else model.page
    logger.warning(
        "%s: downloading %.1f MB, once, from %s (licence: %s)",
        *(model.name, megabytes, page, model.licence),
    )
