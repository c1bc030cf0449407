"""A Hugging Face Hub in miniature, on two ports of this machine: it serves folders and counts what it served.

It speaks the endpoints that huggingface_hub calls for a model: `/api/models/ID[/revision/REV]`, which names the commit
and, with `blobs`, the sizes; `/api/models/ID/tree/REV`, which lists the files for a download; and
`/ID/resolve/REV/FILE`, which serves small files and redirects to a second host for large ones, as the Hub does to its
storage. The address there is signed, and the token must not reach it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".gguf", ".pt")
"""Files that live in storage, behind a redirect."""
_CHUNK = 2**16


class Request(NamedTuple):
    """What was asked, of the Hub or of its storage."""

    host: str
    path: str
    range: tuple[int, int] | None
    token: str | None


@dataclass
class Answer:
    """What is answered instead, to the requests whose path contains `path`; so many times, or always."""

    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    times: int | None = None
    delay: float = 0.0


class HubServer:
    """Use as a context manager: `add` folders as commits; `requests` and `served()` say what happened."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.renamed: dict[str, str] = {}
        self.ignores_ranges = False
        self.delay = 0.0
        """Seconds that the storage takes to answer."""
        self.most_at_once = 0
        """Requests that the storage had to answer at the same time."""
        self._at_once = 0
        self._served: dict[str, list[list[int]]] = defaultdict(list)
        self._commits: dict[tuple[str, str], Path] = {}
        self._branches: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._servers = {host: ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, host))
                         for host in ("hub", "storage")}  # fmt: skip

    def __enter__(self) -> HubServer:
        for server in self._servers.values():
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        return self.address("hub")

    def address(self, host: str) -> str:
        """The storage has another name as well: a redirect to the same one stays on the Hub."""
        name = {"hub": "127.0.0.1", "storage": "localhost"}[host]
        return f"http://{name}:{self._servers[host].server_port}"

    def add(self, repo: str, folder: Path, branch: str = "main") -> str:
        """A new commit, at which the branch then is."""
        commit = hashlib.sha1(f"{repo} {folder}".encode()).hexdigest()
        self._commits[repo, commit] = folder
        self._branches[repo, branch] = commit
        return commit

    def folder(self, repo: str, revision: str) -> tuple[str, Path] | None:
        """The commit that a revision means, and its files."""
        commit = self._branches.get((repo, revision), revision)
        folder = self._commits.get((repo, commit))
        return (commit, folder) if folder else None

    def knows(self, repo: str) -> bool:
        return any(known == repo for known, _ in self._branches)

    def served(self, file: str) -> list[tuple[int, int]]:
        """The ranges of a file's bytes that were put on the wire, in order."""
        return sorted((start, stop) for start, stop in self._served[file])

    def answer_to(self, path: str) -> Answer | None:
        """What has been ordered for this path, used up by one."""
        with self._lock:
            for answer in self.answers:
                if answer.path in path and answer.times != 0:
                    answer.times = None if answer.times is None else answer.times - 1
                    return answer
        return None

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def wait(self) -> None:
        """What the storage does before it answers; counted until then, as nobody asks on before an answer."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.delay)
        with self._lock:
            self._at_once -= 1

    def begin(self, file: str, start: int) -> list[int]:
        """The start and stop of a range that is about to be sent."""
        span = [start, start]
        with self._lock:
            self._served[file].append(span)
        return span


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, hub: HubServer, host: str, *rest: Any) -> None:
        self.hub, self.host = hub, host
        super().__init__(*rest)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the tests' stderr."""

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        span = (int(found[1]), int(found[2])) if found else None
        self.hub.note(Request(self.host, self.path, span, self.headers.get("Authorization")))
        try:
            self._respond(span)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def _respond(self, span: tuple[int, int] | None) -> None:
        answer = self.hub.answer_to(self.path)
        parts = urlsplit(self.path)
        if answer is not None:
            time.sleep(answer.delay)
            self._send(answer.status, answer.headers, answer.body)
        elif self.host == "storage":
            self.hub.wait()
            self._file(Path(unquote(parts.path)), span, {})
        elif parts.path.startswith("/api/models/"):
            self._model(parts.path.removeprefix("/api/models/"), parse_qs(parts.query))
        elif "/resolve/" in parts.path:
            self._resolve(parts.path)
        else:
            self._refuse(404, "EntryNotFound", "no such page")

    def _model(self, path: str, query: dict[str, list[str]]) -> None:
        if "/tree/" in path:
            self._tree(path)
            return
        repo, _, revision = path.partition("/revision/")
        if repo in self.hub.renamed:
            self._send(307, {"Location": self.path.replace(repo, self.hub.renamed[repo])}, b"")
            return
        found = self._found(repo, unquote(revision) or "main")
        if found is None:
            return
        commit, folder = found
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings = [self._sibling(folder, path, "blobs" in query) for path in files]
        self._send(200, {}, json.dumps({"id": repo, "sha": commit, "siblings": siblings}).encode())

    def _tree(self, path: str) -> None:
        """What `snapshot_download` asks for."""
        repo, _, revision = path.partition("/tree/")
        found = self._found(repo, unquote(revision))
        if found is not None:
            folder = found[1]
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            entries = [
                {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": "0" * 40}
                for path in files
            ]
            self._send(200, {}, json.dumps(entries).encode())

    def _sibling(self, folder: Path, path: Path, blobs: bool) -> dict[str, Any]:
        entry: dict[str, Any] = {"rfilename": str(path.relative_to(folder))}
        if blobs:
            entry |= {"size": path.stat().st_size, "blobId": "0" * 40}
            if path.name.endswith(LARGE):
                entry["lfs"] = {"sha256": "0" * 64, "size": path.stat().st_size, "pointerSize": 135}
                entry["size"] = 135
        return entry

    def _resolve(self, path: str) -> None:
        repo, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        found = self._found(repo, unquote(revision))
        if found is None:
            return
        commit, folder = found
        local = folder / unquote(file)
        if not local.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(file.encode()).hexdigest()}"'}
        if local.name.endswith(LARGE):
            signed = f"{self.hub.address('storage')}{quote(str(local))}?Signature=secret"
            linked = {"X-Linked-Size": str(local.stat().st_size), "X-Linked-ETag": headers["ETag"]}
            self._send(302, headers | linked | {"Location": signed}, b"")
        else:
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            self._file(local, (int(span[1]), int(span[2])) if span else None, headers)

    def _found(self, repo: str, revision: str) -> tuple[str, Path] | None:
        if not self.hub.knows(repo):
            # Whether a private repository exists is nobody's business who is not logged in.
            self._refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound", "Repository not found")
            return None
        found = self.hub.folder(repo, revision)
        if found is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, {"X-Error-Code": code, "X-Error-Message": message}, json.dumps({"error": message}).encode())

    def _file(self, path: Path, span: tuple[int, int] | None, headers: dict[str, str]) -> None:
        size = path.stat().st_size
        if span is None or self.hub.ignores_ranges:
            start, stop, status = 0, size, 200
        else:
            start, stop, status = span[0], min(span[1] + 1, size), 206
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        self._begin(status, headers, stop - start)
        if self.command == "HEAD":
            return
        with path.open("rb") as file:
            file.seek(start)
            noted = self.hub.begin(path.name, start)
            for at in range(start, stop, _CHUNK):
                # Noted first: whoever has the bytes may look at once.
                noted[1] = min(at + _CHUNK, stop)
                self.wfile.write(file.read(noted[1] - at))

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._begin(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(length)} | headers).items():
            self.send_header(name, value)
        self.end_headers()
