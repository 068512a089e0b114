"""The errors of the Hub's client, as one sentence that names the model and the remedy."""

import errno
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

from audiotag.errors import HubError
from audiotag.hub.waits import LONGEST_WAIT, asked_wait
from audiotag.models.published.names import MIRROR

TOKEN_HINT = "set HF_TOKEN, run hf auth login, or give --token"
OTHER_STATUS = "{endpoint} fails (status {status}); try again later"
STATUSES = {
    401: "the Hub refuses the token; make one at {endpoint}/settings/tokens and {hint}",
    403: "the token may not write to {name}; take one with write access to it and {hint}",
    409: "{name} is being changed by someone else; try again",
    412: "{name} has been changed meanwhile; try again",
    429: "the Hub answers no more requests for now; try again in some minutes",
}
# The errors that the client raises for an answer of an unexpected form.
MISREAD = (
    *(LookupError, TypeError, AttributeError, ValueError),
    *(RecursionError, httpx.InvalidURL),
)
INCOMPLETE = "complete message body"  # of httpcore's text, where a connection was cut
XET_ERROR = re.compile(r"\(os error (\d+)\)")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a full disk
WAITS = (1.0, 2.0, 4.0)  # seconds before each further attempt
GIVE_UP = 20.0  # s after which there is no further attempt: the client has repeated its own too
PASSING = (408, 429)  # statuses below 500 that may pass
logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class WrongAnswer(OSError):
    """An answer that is not a Hub's, such as the login page of a network."""


class AlteredFile(OSError):
    """A file whose hash differs from the Hub's; it has been removed."""


def patiently(attempt: Callable[[], Result]) -> Result:
    """The result of an attempt, which is repeated if it failed for a reason that may pass.

    The client keeps transferred files, so the next attempt transfers only the others.
    """
    end = time.monotonic() + GIVE_UP
    for wait in WAITS:
        try:
            return attempt()
        except (httpx.HTTPError, OSError) as error:  # HTTP statuses are OSErrors too
            asked = _asked_wait(error)
            pause = wait if asked is None else asked
            is_late = asked is None and time.monotonic() + pause > end
            if not _may_pass(error) or is_late or pause > LONGEST_WAIT:
                raise
            logger.warning("The Hub failed (%s); trying again in %g s", _kind(error), pause)
            time.sleep(pause)
    return attempt()


def _asked_wait(error: Exception) -> float | None:
    """Seconds after which the Hub wants to be asked again, if it says so."""
    return asked_wait(error.response.headers) if isinstance(error, HfHubHTTPError) else None


@contextmanager
def transferring() -> Iterator[None]:
    """Turn other errors of the client into the OSErrors that they mean: RuntimeErrors of its Xet
    part, and errors about an answer of an unexpected form."""
    try:
        yield
    except OSError:  # some OSErrors are ValueErrors too
        raise
    except MISREAD as error:
        if isinstance(error.__cause__, BadRequestError):  # the request is wrong, not the answer
            raise
        raise WrongAnswer(f"{type(error).__name__}: {error}") from error
    except RuntimeError as error:
        number = XET_ERROR.search(str(error))
        if number is None:
            raise OSError(str(error)) from error
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


@contextmanager
def explained(
    api: HfApi, name: str, revision: str | None, folder: Path | str | None = None
) -> Iterator[None]:
    """Turn an error of the client into a HubError of one sentence.

    Args:
        api: The client.
        name: `owner/name` of the model in question.
        revision: The branch, tag or commit in question.
        folder: Where files are written; in the Hub's cache unless given.
    """
    try:
        yield
    except (httpx.HTTPError, json.JSONDecodeError, OSError) as error:
        raise HubError(sentence(error, api, name, revision, folder)) from error


def is_unreachable(error: Exception) -> bool:
    """Whether the Hub did not answer, or its answer says nothing about the model."""
    if isinstance(error, GatedRepoError | RepositoryNotFoundError | RevisionNotFoundError):
        return False
    if isinstance(error, HfHubHTTPError):  # of a proxy, or a network that asks to sign in
        return error.response.status_code != 401
    answers = (httpx.HTTPError, OfflineModeIsEnabled, WrongAnswer, LocalEntryNotFoundError)
    return isinstance(error, answers)


def _kind(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"status {error.response.status_code}"
    return type(error).__name__


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed in some seconds."""
    match error:
        case OfflineModeIsEnabled() | httpx.ConnectError() | httpx.ConnectTimeout():
            return False
        case LocalEntryNotFoundError(__cause__=HfHubHTTPError()):
            return False  # the client has already repeated it
        case HfHubHTTPError():
            status = error.response.status_code
            return status >= 500 or status in PASSING
        case httpx.TooManyRedirects() | WrongAnswer():
            return False
        case OSError():
            return error.errno is None  # an incomplete file
    return True


def sentence(
    error: Exception,
    api: HfApi,
    name: str,
    revision: str | None,
    folder: Path | str | None = None,
) -> str:
    """What failed, and the remedy; without the exception's own text, which is long and has URLs."""
    match error:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids asking the Hub; unset it"
        case LocalEntryNotFoundError(__cause__=HfHubHTTPError() as status):
            return _answer(status, api, name, revision)
        case HfHubHTTPError():
            return _answer(error, api, name, revision)
        case httpx.TooManyRedirects() | httpx.DecodingError() | WrongAnswer():
            return _no_hub(api)
        case AlteredFile():
            return f"{name}: {error}; pull again, later or from another network"
        case httpx.RemoteProtocolError() if INCOMPLETE in str(error):
            return f"{name} came incomplete from {api.endpoint}; try again"
        case httpx.HTTPError():
            reason = type(error).__name__
            check = f"check the network and {_variable()}"
            return f"{api.endpoint} cannot be reached ({reason}); {check}"
        case json.JSONDecodeError():
            return _no_hub(api)
        case OSError(strerror=str(reason)):
            where = folder or error.filename or constants.HF_HOME
            room = "make room, or " if error.errno in FULL else ""
            remedy = "name another folder" if folder else "set HF_HOME to another folder"
            return f"{name}: {where}: {reason}; {room}{remedy}"
    return f"{name} could not be transferred completely; try again"


def _no_hub(api: HfApi) -> str:
    return (
        f"{api.endpoint} does not answer as a Hub does; check {_variable()}, and whether the "
        "network asks to sign in"
    )


def _variable() -> str:
    """The variable that says which Hub is asked."""
    is_mirror = os.environ.get(MIRROR) and "HF_ENDPOINT" not in os.environ
    return MIRROR if is_mirror else "HF_ENDPOINT"


def _answer(error: HfHubHTTPError, api: HfApi, name: str, revision: str | None) -> str:
    """The meaning of an error status from the Hub, and the remedy."""
    page = f"{api.endpoint}/{name}"
    match error:
        case RevisionNotFoundError():
            return f"{name} has no revision {revision}; choose one listed at {page}/tree/main"
        case GatedRepoError():
            return f"{name} is gated; ask for access at {page}"
        case RepositoryNotFoundError() if api.token or get_token():
            return f"there is no {name}, or your token may not see it; check both"
        case RepositoryNotFoundError():
            return f"there is no {name}, or it is private; check the name, or {TOKEN_HINT}"
        case BadRequestError():
            return f"the Hub refuses the request: {error.server_message}"
    status = error.response.status_code
    return STATUSES.get(status, OTHER_STATUS).format(
        endpoint=api.endpoint, name=name, status=status, hint=TOKEN_HINT
    )
