"""Files of published models on Zenodo and GitHub, downloaded by pooch.

pooch gives a file its name when all of it is there and has the checksum.
"""

import errno
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pooch
import requests

from audiotag.errors import HubError
from audiotag.hub.failures import FULL, WrongAnswer
from audiotag.models.published.names import MIRROR, ZENODO, PublishedModel, base

TIMEOUT = 30.0  # s without an answer, or without a further byte
CHUNK = 2**20  # bytes
PAGE_STARTS = (b"<!doctype", b"<html")


def download(model: PublishedModel, file: Path, announce: Callable[[int], None]) -> None:
    """Download a model's file, unless it is there and has its checksum.

    Args:
        model: On Zenodo or GitHub.
        file: Where the file will lie.
        announce: Called with its size in bytes, 0 if that is not said, before it is downloaded.

    Raises:
        HubError: If it cannot be had whole, or is not what was published.
    """
    with _explained(model, file):
        known = model.checksum or _stated(model)
        pooch.get_logger().setLevel(logging.WARNING)
        downloader = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            chunk_size=CHUNK,
            timeout=TIMEOUT,
            hooks={"response": partial(_look_at, file, announce)},
        )
        pooch.retrieve(model.url, known, file.name, file.parent, downloader=downloader)
        file.chmod(file.parent.stat().st_mode & 0o666)  # pooch's is for its owner alone
        _check_start(file)


def _stated(model: PublishedModel) -> str | None:
    """The checksum that Zenodo states of a model's file; None of one that lies elsewhere."""
    if model.host != ZENODO:
        return None
    address = f"{base(ZENODO)}/api/records/{model.place}"
    answer = requests.get(address, timeout=TIMEOUT)
    answer.raise_for_status()
    try:
        files = {x["key"]: str(x["checksum"]) for x in answer.json()["files"]}
    except (ValueError, LookupError, TypeError) as error:
        raise WrongAnswer(f"{type(error).__name__}: {error}") from error
    if model.file not in files:
        raise HubError(f"{model.page} has no {model.file} any more; {_by_hand(model)}")
    return files[model.file]


def _look_at(
    file: Path, announce: Callable[[int], None], answer: requests.Response, **_: Any
) -> None:
    """Say how much is downloaded, before it is; refuse a page, and what there is no room for."""
    if answer.status_code != requests.codes.ok:
        return
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise WrongAnswer("a page")
    size = int(answer.headers.get("Content-Length") or 0)
    announce(size)
    if shutil.disk_usage(file.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.parent))


def _check_start(file: Path) -> None:
    """Refuse a page that is called something else."""
    with file.open("rb") as opened:
        start = opened.read(64).lstrip().lower()
    if start.startswith(PAGE_STARTS):
        file.unlink()
        raise WrongAnswer("a page")


@contextmanager
def _explained(model: PublishedModel, file: Path) -> Iterator[None]:
    """Turn what goes wrong into a HubError of one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # those of requests are OSErrors
        raise HubError(_sentence(error, model, file)) from error


def _sentence(error: Exception, model: PublishedModel, file: Path) -> str:
    match error:
        case requests.HTTPError():
            return _status(error, model)
        case requests.exceptions.ChunkedEncodingError():
            return f"{model.name} came incomplete from {model.url}; try again"
        case (
            WrongAnswer() | requests.TooManyRedirects() | requests.exceptions.ContentDecodingError()
        ):
            return (
                f"{model.url} gives something else than {model.file}; check whether the network "
                f"asks to sign in{_mirror()}"
            )
        case requests.RequestException():
            reason = type(error).__name__
            return f"{model.url} cannot be reached ({reason}); check the network{_mirror()}"
        case OSError():
            room = "make room, or " if error.errno in FULL else ""
            where, reason = error.filename or file.parent, error.strerror or str(error)
            return f"{model.name}: {where}: {reason}; {room}set HF_HOME to another folder"
    return (  # pooch's ValueError
        f"{model.file} from {model.url} differs from its checksum and was not kept; try again, "
        "later or from another network"
    )


def _status(error: requests.HTTPError, model: PublishedModel) -> str:
    status = 0 if error.response is None else error.response.status_code
    if status in (requests.codes.not_found, requests.codes.gone):
        return f"there is no {model.url} (status {status}); {_by_hand(model)}{_mirror()}"
    return f"{model.url} fails (status {status}); try again later"


def _by_hand(model: PublishedModel) -> str:
    return f"look for it on {model.page}, and run audiotag convert FILE FOLDER"


def _mirror() -> str:
    return f", and check {MIRROR}" if os.environ.get(MIRROR) else ""
