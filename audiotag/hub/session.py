"""The HTTP client of the Hub's client, kept from what a server could make it do.

A few hundred kilobytes of gzip become gigabytes of JSON in memory, and a server that asks to be
left alone for a year would be obeyed.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _http, httpx, parse_ratelimit_headers, set_client_factory

from audiotag.hub.waits import LONGEST_WAIT, asked_wait

PLAIN = "identity"  # an encoding that is none


@lru_cache(1)
def guard() -> None:
    """Guard the client that this process uses, once: on top of what an application has set."""
    set_client_factory(partial(_guarded, _http._GLOBAL_CLIENT_FACTORY))


def _guarded(make: Callable[[], httpx.Client]) -> httpx.Client:
    client = make()
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], _ask_for_plain],
        "response": [_check_plain, _check_wait, *hooks["response"]],
    }
    return client


def _ask_for_plain(request: httpx.Request) -> None:
    request.headers["Accept-Encoding"] = PLAIN


def _check_plain(response: httpx.Response) -> None:
    if response.headers.get("Content-Encoding", PLAIN) != PLAIN:
        raise httpx.DecodingError("an answer that is compressed, unasked", request=response.request)


def _check_wait(response: httpx.Response) -> None:
    """Refuse an answer that the client would wait for too long after."""
    if response.is_error and _wait(response.headers) > LONGEST_WAIT:
        raise HfHubHTTPError("it asks to be left alone for long", response=response)


def _wait(headers: Mapping[str, str]) -> float:
    limit = parse_ratelimit_headers(headers)
    return max(asked_wait(headers) or 0.0, 0.0 if limit is None else limit.reset_in_seconds)
