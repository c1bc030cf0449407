"""The files of a repository on the Hub: one listing, then ranges of the files of that very commit."""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from unicodedata import category

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers, get_session

from mappings.findings import Finding
from tracer.checkpoint.files import in_natural_order
from tracer.checkpoint.hub.cache import cached_file
from tracer.checkpoint.hub.patience import patiently
from tracer.checkpoint.hub.ranges import RangeFile
from tracer.checkpoint.hub.refusals import Asked, refusals, shortened, without_password
from tracer.checkpoint.regular_file import open_regular
from tracer.errors import InputError

_LIBRARY = "trace-load"
_SMALL = 64 * 2**20
"""Bytes of a JSON file that is kept once it was fetched: an index is looked at more than once."""
_COMPONENT = 255
"""Bytes that a name has between two slashes, on any disk that the file could be downloaded to."""
_NAME = 4096
"""Bytes of a name with its folders."""
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, halves of characters, and ends of lines."""


class HubFiles:
    """`Files` of a repository, pinned to the commit that the revision meant when it was listed.

    Raises InputError for everything that the Hub, or the way to it, refuses.
    """

    folder: Path | None = None
    one_file = False
    at_once = 16
    """Files that are opened at the same time: waiting for answers is all that opening one costs."""

    def __init__(self, repo: str, revision: str | None = None, endpoint: str | None = None) -> None:
        self._asked = Asked(endpoint or constants.ENDPOINT, repo, revision)
        _prepare_session(repo)
        with refusals(self._asked):
            self._headers = build_hf_headers(library_name=_LIBRARY)
            self.repo, self.commit, self._sizes = self._listing()
        self._kept: dict[str, bytes] = {}

    def _listing(self) -> tuple[str, str, dict[str, int]]:
        """The repository's present name, the commit and the size of each file."""
        asked = self._asked
        api = HfApi(asked.endpoint, library_name=_LIBRARY)
        try:
            info = patiently(
                lambda: api.model_info(
                    asked.repo, revision=asked.revision, files_metadata=True,
                    timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
                )
            )  # fmt: skip
            name, commit, sizes = _name(info.id), _commit(info.sha), _sizes(info.siblings)
        except (HFValidationError, UnicodeError, OSError):
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{asked.repo}: {asked.host} does not answer as a Hub does: expected a model with its commit and the"
                " sizes of its files; see HF_ENDPOINT",
                subject=asked.repo,
            ) from error
        for file in sizes:
            _check_file_name(file, f"{asked.repo}: {asked.host}")
        return name, commit, sizes

    @property
    def title(self) -> str:
        return f"{self._asked.repo}@{self.commit[:8]}"

    @property
    def findings(self) -> list[Finding]:
        """What the listing itself tells."""
        if self.repo == self._asked.repo:
            return []
        message = f"{self._asked.repo} is now called {self.repo} on the Hub"
        fix = "use the new name; the old one may be given to somebody else"
        return [Finding("hub.renamed", "info", self._asked.repo, message, {"name": self.repo}, fix)]

    def names(self) -> list[str]:
        return in_natural_order([name for name in self._sizes if name.count("/") <= 1])

    def has(self, file: str) -> bool:
        return file in self._sizes

    def size(self, file: str) -> int:
        return self._sizes[file]

    def pointer_size(self, file: str) -> int | None:
        """None: the Hub serves the large file itself under its name."""
        return None

    def where(self, file: str) -> str:
        return f"{self.title}/{file}"

    def cached(self, file: str) -> Path | None:
        """Where this file of this commit lies in the cache, all of it."""
        return cached_file(self.repo, self.commit, file, self.size(file))

    def open(self, file: str) -> BinaryIO:
        path = self.cached(file)
        if path is not None:
            return open_regular(path)
        if not file.endswith(".json") or self.size(file) > _SMALL:
            return self._remote(file)
        if file not in self._kept:
            self._kept[file] = self._remote(file).read()
        return io.BytesIO(self._kept[file])

    def _remote(self, file: str) -> BinaryIO:
        asked = Asked(self._asked.endpoint, self.repo, self.commit, file)
        url = hf_hub_url(self.repo, file, revision=self.commit, endpoint=asked.endpoint)
        return cast(BinaryIO, RangeFile(asked, url, self.size(file), self._headers))

    def __repr__(self) -> str:
        return f"HubFiles({self.repo!r}, {self.commit!r}, {without_password(self._asked.endpoint)!r})"


def _prepare_session(repo: str) -> None:
    """The client reads proxies and certificates from the environment when it is made. Raises InputError."""
    try:
        get_session()
    except (ValueError, ImportError, OSError) as error:
        reason = f"{error}; see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
        raise InputError(f"{repo}: the settings of the network cannot be used: {reason}", subject=repo) from error


def _name(repo: Any) -> str:
    if not isinstance(repo, str) or not re.fullmatch(r"[\w.-]{1,96}(/[\w.-]{1,96})?", repo, re.ASCII):
        raise ValueError("no name")
    return repo


def _commit(sha: Any) -> str:
    if not isinstance(sha, str) or not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise ValueError("no commit")
    return sha


def _sizes(siblings: Any) -> dict[str, int]:
    """Bytes of each file, of the large file where the repository itself holds only a pointer."""
    sizes = {sibling.rfilename: sibling.lfs.size if sibling.lfs else sibling.size for sibling in siblings}
    for name, size in sizes.items():
        if type(size) is not int or size < 0 or not _stays_inside(name):
            raise ValueError("no size")
    return sizes


def _check_file_name(name: str, who: str) -> None:
    """A name goes into messages, and into paths. Raises InputError for one that cannot."""
    odd = next((char for char in name if category(char) in _UNPRINTABLE), None)
    if odd is not None:
        raise InputError(f"{who} lists {shortened(ascii(name))}: expected a name that can be printed, found {odd!a}")
    longest = max(len(part.encode()) for part in name.split("/"))
    if longest > _COMPONENT or len(name.encode()) > _NAME:
        found = f"{longest} bytes between slashes" if longest > _COMPONENT else f"{len(name.encode())} bytes"
        raise InputError(
            f"{who} lists {shortened(ascii(name))}: expected a name of at most {_COMPONENT} bytes between slashes and"
            f" {_NAME} in all, found {found}"
        )


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
