"""How long a server asks to be left alone."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 60.0  # s that the Hub may ask to be left alone


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds after which the sender of an answer wants to be asked again, if it says so.

    Args:
        headers: Of the answer; names in any case.
    """
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]+", text):
        return float(text[:20])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
