"""One headless Chromium, spoken to over a pipe in the DevTools protocol: started once, asked many things."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
          "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe")  # fmt: skip
_PATIENCE = 30.0


class Chromium:
    """One tab."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._number, self._held = 0, b""
        self._session: str | None = None
        self.complaints: list[str] = []
        """What the console was told of: errors, refusals of the page's own policy, exceptions."""
        self.fetched: list[str] = []
        """Every address that was asked for."""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command; what is reported meanwhile is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            assert select.select([self._answers], [], [], _PATIENCE)[0], "Chromium does not answer"
            piece = os.read(self._answers, 1 << 16)
            assert piece, "Chromium has left"
            self._held += piece
        told, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(told)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.fetched.append(params["request"]["url"])

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a page anew; complaints and addresses are from here on those of it."""
        self("Page.navigate", url="about:blank")
        self.complaints, self.fetched = [], []
        self("Page.navigate", url=page.as_uri() + fragment)
        while not self.script("location.protocol === 'file:' && document.readyState === 'complete'"):
            pass

    def script(self, expression: str) -> Any:
        """What JavaScript makes of an expression."""
        told = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def media(self, kind: str = "", **features: str) -> None:
        """Print, or preferences such as `prefers_color_scheme`."""
        told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self("Emulation.setEmulatedMedia", media=kind, features=told)

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Its profile is in `folder`."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    program = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", program, "bash", str(BROWSER), *_FLAGS, f"--user-data-dir={folder}"],
        pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Chromium(ours_out, ours_in)
    finally:
        os.close(ours_out)  # which ends it, and all that it has started
        os.close(ours_in)
        process.wait(_PATIENCE)
