"""How often a request is repeated, and how long a server may make us wait: seconds, where the library waits minutes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from time import sleep
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError

PAUSES = (1.0, 2.0)
"""Seconds before the second and the third try; there is no fourth."""
LONGEST_WAIT = 10.0
"""Seconds; a server that asks for more is reported instead."""
_PASSING = (408, 429, 500, 502, 503, 504)
"""Answers that may be another the next time."""
_PASSING_FAULTS = {"ReadTimeout", "ReadError", "RemoteProtocolError"}
"""Errors of httpx that may not occur again; without a connection there is no point in asking again."""

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """The call's result, after a few tries if need be; its last error otherwise."""
    for pause in PAUSES:
        try:
            return call()
        except Exception as error:
            wait = _wait(error, pause)
            if wait is None:
                raise
        sleep(wait)
    return call()


def _wait(error: Exception, pause: float) -> float | None:
    """Seconds before the next try; None if there is to be none."""
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code not in _PASSING:
            return None
        asked = wait_asked_for(error)
        return pause if asked is None else asked if asked <= LONGEST_WAIT else None
    return pause if _PASSING_FAULTS & kinds(error) else None


def wait_asked_for(error: HfHubHTTPError) -> float | None:
    """Seconds, from `Retry-After` or from the rate limit's own header; None where the server asks for no wait."""
    headers = error.response.headers
    spent = re.search(r";\s*r=0\s*;\s*t=(\d{1,9})", headers.get("ratelimit", ""))
    found = re.fullmatch(r"\s*(\d{1,9})\s*", headers.get("retry-after", "")) or spent
    return float(found[1]) if found else None


def kinds(error: BaseException) -> set[str]:
    """Names of the classes of an error and of its causes.

    By name, because the same classes come from httpx with huggingface_hub 1 and from httpx2 with 2.
    """
    return {kind.__name__ for cause in causes(error) for kind in type(cause).__mro__}


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
