"""A file behind HTTP that is read by ranges: so many bytes asked for, so many bytes sent."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session, hf_raise_for_status

from tracer.checkpoint.hub.patience import patiently
from tracer.checkpoint.hub.refusals import Asked, refusals
from tracer.errors import InputError


class RangeFile(io.RawIOBase):
    """A remote file of known size. `read(n)` is one request for exactly n bytes, fewer only at the end of the file.

    Large files live on another host, to which the Hub redirects. The first request follows; the others go to where
    it ended, without the token, and come back to the Hub if that address is no longer good.
    """

    def __init__(self, asked: Asked, url: str, size: int, headers: Mapping[str, str]) -> None:
        self._asked = asked
        self._url = self._location = url
        self._size = size
        self._headers = dict(headers)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to byte {start + offset}")
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        content = self._fetch(self._at, count) if count else b""
        self._at += len(content)
        return content

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _fetch(self, start: int, count: int) -> bytes:
        with refusals(self._asked):
            if self._location != self._url:
                try:
                    return patiently(lambda: self._request(self._location, start, count))
                except HfHubHTTPError as error:
                    # A signed address expires, and may be good for one range only.
                    if not 400 <= error.response.status_code < 500:
                        raise
                    self._location = self._url
            return patiently(lambda: self._request(self._url, start, count))

    def _request(self, url: str, start: int, count: int) -> bytes:
        """One request. The body is read only when the headers promise what was asked for."""
        headers = {**self._headers, "Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
        if _origin(url) != _origin(self._url):
            headers.pop("authorization", None)
        with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
            hf_raise_for_status(response)
            self._check(response, start, count)
            self._location = str(response.url)
            return self._body(response, start, count)

    def _check(self, response: Any, start: int, count: int) -> None:
        """Raise InputError unless exactly the asked range follows; a server without ranges would send everything."""
        wanted = f"bytes {start}-{start + count - 1}/{self._size}"
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise self._odd(f"asked for plain bytes, found them encoded as {encoding[:40]!r}")
        if response.status_code == 200 and count == self._size:
            return
        if response.status_code != 206:
            advice = f"its headers cannot be read from there; download it: hf download {self._asked.repo}"
            raise self._odd(f"asked for {wanted}, found status {response.status_code}: no range; {advice}")
        found = response.headers.get("content-range", "")
        if re.sub(r"/\*$", f"/{self._size}", found) != wanted:
            raise self._odd(f"expected Content-Range {wanted!r}, found {found[:80]!r}")

    def _body(self, response: Any, start: int, count: int) -> bytes:
        content = bytearray()
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > count:
                break
        if len(content) != count:
            found = "more" if len(content) > count else str(len(content))
            raise self._odd(f"expected {count} bytes from byte {start}, found {found}")
        return bytes(content)

    def _odd(self, message: str) -> InputError:
        return InputError(f"{self._asked.subject}: {self._asked.host}: {message}", subject=self._asked.file)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
