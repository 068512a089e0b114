"""An action: post an event to a web address as JSON."""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from audiotag.live.actions.runner import ActionError

TIMEOUT = 10.0  # s for an answer
WAITS = (1.0, 4.0)  # s before each further try


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: an event is told to the address that was given alone."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


class Webhook:
    """Posts each event to an address; what fails in passing is tried again.

    Args:
        url: Such as https://user:password@example.org/events.

    Raises:
        ValueError: It is no address of http or https.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a webhook is an address that begins with http:// or https://")
        place = parts.netloc.rpartition("@")[2]
        self.name = f"--webhook {parts.scheme}://{place}{parts.path}"
        self._url = urlunsplit(parts._replace(netloc=place, fragment=""))
        self._headers = {"Content-Type": "application/json", "User-Agent": "audiotag"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._opener = urllib.request.build_opener(_NoRedirect)

    def run(self, record: dict[str, Any]) -> None:
        """As of `Action`."""
        for wait in (*WAITS, None):
            try:
                return self._post(json.dumps(record).encode())
            except urllib.error.HTTPError as error:
                reason = f"answers {error.code} {error.reason}"
                if error.code < 500 and error.code != 429:
                    raise ActionError(reason) from error
            except (OSError, http.client.HTTPException) as error:
                reason = f"cannot be reached ({getattr(error, 'reason', None) or error})"
            if wait is None:
                raise ActionError(reason)
            time.sleep(wait)

    def close(self) -> None:
        """Nothing is open."""

    def _post(self, content: bytes) -> None:
        request = urllib.request.Request(self._url, content, self._headers, method="POST")
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            answer.read(2**16)
