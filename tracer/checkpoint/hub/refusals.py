"""What the Hub or the way to it can refuse, each as one line that says what to do. The token is never part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tracer.checkpoint.hub.patience import causes, kinds, wait_asked_for
from tracer.errors import InputError

LOG_IN = "`hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class Asked:
    """What was asked of whom."""

    endpoint: str
    repo: str
    revision: str | None = None
    file: str | None = None

    @property
    def subject(self) -> str:
        return f"{self.repo}/{self.file}" if self.file else self.repo

    @property
    def host(self) -> str:
        """The endpoint as it may be shown: an address can hold a password."""
        return without_password(self.endpoint)


@contextmanager
def refusals(asked: Asked) -> Iterator[None]:
    """Turns what the library and its HTTP client raise into InputError; what they do not raise passes."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        line = _line(error, asked)
        if line is None:
            raise
        raise InputError(f"{asked.subject}: {_on_one_line(line)}", subject=asked.subject) from error


def without_password(address: str) -> str:
    """An address without user and password; as it stands where it is none."""
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return address


def _line(error: Exception, asked: Asked) -> str | None:
    if isinstance(error, HFValidationError):
        return "no such file or folder here, and no id of the Hub, which has the form org/name"
    if isinstance(error, HfHubHTTPError):
        return _of_repository(error, asked) or _of_status(error, asked)
    return _of_connection(error, asked)


def _of_repository(error: HfHubHTTPError, asked: Asked) -> str | None:
    """What is wrong with the thing that was asked for. A gated repository is a kind of missing one to the library."""
    page = f"{asked.host}/{asked.repo}"
    match error:
        case GatedRepoError() if has_token():
            return f"the repository is gated and your token is not allowed in; ask for access at {page}"
        case GatedRepoError():
            return f"the repository is gated; ask for access at {page}, then log in: {LOG_IN}"
        case DisabledRepoError():
            return f"the repository is disabled on {asked.host}; nothing of it can be read"
        case RepositoryNotFoundError():
            seen = "or your token is not valid or does not see it" if has_token() else f"or private; log in: {LOG_IN}"
            return f"no such folder here, and no such repository on {asked.host}, {seen}"
        case RevisionNotFoundError():
            return f"no revision {asked.revision!r}; --revision takes a branch, a tag or a commit"
        case RemoteEntryNotFoundError():
            return f"{asked.host} does not have it (404), though its listing names it"
    return None


def _of_status(error: HfHubHTTPError, asked: Asked) -> str:
    status = error.response.status_code
    host, said = _host(error, asked), f": {shortened(error.server_message)}" if error.server_message else ""
    if status == 429:
        wait = wait_asked_for(error)
        when = f"in {wait:.0f} s" if wait else "later"
        login = "" if has_token() else f", or log in for a higher limit: {LOG_IN}"
        return f"{host} answers 429, too many requests; try again {when}{login}"
    if status == 401:
        token = "your token; renew it" if has_token() else "a request without token; log in"
        return f"{host} does not accept {token}: {LOG_IN} (401{said})"
    if status == 403:
        return f"{host} does not allow it (403{said}); see what your token may read"
    if status >= 500:
        return f"{host} fails with {status}{said}; try again later"
    return f"{host} answers {status}{said}"


def _of_connection(error: Exception, asked: Asked) -> str | None:
    """What is wrong on the way; None if it is something else altogether."""
    names, host = kinds(error), _host(error, asked)
    offline = "HF_HUB_OFFLINE=1 makes do with what was downloaded before"
    if isinstance(error, UnicodeEncodeError) or "LocalProtocolError" in names:
        return "the token or the address holds characters that cannot be sent; see HF_TOKEN and HF_ENDPOINT"
    if names & {"UnsupportedProtocol", "InvalidURL"}:
        return f"HF_ENDPOINT is {asked.host!r}, expected the address of a Hub, such as https://huggingface.co"
    if "ProxyError" in names:
        return f"the proxy refuses: {_cause(error)}; see HTTPS_PROXY and NO_PROXY"
    if "SSLError" in names:
        return f"no secure connection to {host}: {_cause(error)}; see SSL_CERT_FILE, the clock and the proxy"
    if "TimeoutException" in names:
        seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
        return f"{host} did not answer within {seconds} s (HF_HUB_DOWNLOAD_TIMEOUT); try again later, or {offline}"
    if "ConnectError" in names:
        through = " through the proxy of the environment" if getproxies().keys() & {"http", "https", "all"} else ""
        # The first thing that is asked of a repository is its listing: perhaps a path was meant.
        path = "" if asked.file else "no such folder here, and "
        return f"{path}no connection to {host}{through}: {_cause(error)}; {offline}"
    if names & {"TransportError", "RequestError"}:
        return f"the connection to {host} broke: {_cause(error)}; try again"
    if type(error).__module__.startswith("huggingface_hub."):
        return f"{type(error).__name__}: {shortened(str(error))}"
    return None


def has_token() -> bool:
    """Whether requests carry a token."""
    return get_token() is not None and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN


def _host(error: Exception, asked: Asked) -> str:
    """Whom the failed request was for: the endpoint, or where it sent us."""
    with suppress(AttributeError, RuntimeError, ValueError):
        url = error.request.url  # type: ignore[attr-defined]
        if url.host and url.host != urlsplit(asked.endpoint).hostname:
            return f"{url.scheme}://{url.host}"
    return asked.host


def _cause(error: Exception) -> str:
    """What lies at the bottom: `Connection refused` rather than `All attempts failed`."""
    told = [str(getattr(cause, "strerror", None) or cause) for cause in causes(error)]
    return shortened(next((text for text in reversed(told) if text), type(error).__name__))


def shortened(text: str) -> str:
    """What a server said, short enough for a message."""
    return text if len(text) <= 200 else f"{text[:197]}..."


def _on_one_line(text: str) -> str:
    """One line, and the token blotted out wherever it may have come from."""
    token = get_token()
    return " ".join((text.replace(token, "***") if token else text).split())
