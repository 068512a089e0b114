"""What the Hub's client raises, as one sentence that names the model and the remedy."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

from audiotag.errors import HubError

TOKEN_HINT = "set HF_TOKEN, run hf auth login, or give --token"
OTHER_STATUS = "{endpoint} fails (status {status}); try again later"
STATUSES = {
    401: "the Hub refuses the token; make one at {endpoint}/settings/tokens and {hint}",
    403: "the token may not write to {name}; take one with write access to it and {hint}",
    409: "{name} is being changed by someone else; try again",
    412: "{name} has been changed meanwhile; try again",
    429: "the Hub answers no more requests for now; try again in some minutes",
}


@contextmanager
def explained(api: HfApi, name: str, revision: str | None) -> Iterator[None]:
    """Turn what the client raises into a HubError of one sentence.

    Args:
        api: The client.
        name: `owner/name` of the model in question.
        revision: The branch, tag or commit in question.
    """
    try:
        yield
    except (httpx.TransportError, HFValidationError, json.JSONDecodeError, OSError) as error:
        raise HubError(sentence(error, api, name, revision)) from error


def is_unreachable(error: Exception) -> bool:
    """Whether the Hub gave no answer, or none that says something about the model."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError | OfflineModeIsEnabled)


def sentence(error: Exception, api: HfApi, name: str, revision: str | None) -> str:
    """What failed and what to do; never the exception's text, which is long and shows URLs."""
    match error:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids asking the Hub; unset it"
        case HfHubHTTPError():
            return _answer(error, api, name, revision)
        case httpx.TransportError():
            reason = type(error).__name__
            return f"{api.endpoint} cannot be reached ({reason}); check the network and HF_ENDPOINT"
        case HFValidationError():
            return f"the Hub does not allow the name {name}; correct it"
        case json.JSONDecodeError():
            return f"{api.endpoint} does not answer as a Hub does; check HF_ENDPOINT"
        case OSError(strerror=str(reason)):
            where = error.filename or constants.HF_HOME
            return f"{name}: {where}: {reason}; make room, or set HF_HOME to another folder"
    return f"{name} could not be downloaded whole; try again"


def _answer(error: HfHubHTTPError, api: HfApi, name: str, revision: str | None) -> str:
    """What an error status of the Hub means."""
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
