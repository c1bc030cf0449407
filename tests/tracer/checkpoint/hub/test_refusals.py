"""Whatever the Hub or the way to it refuses is one line that says what to do, soon, and without the token."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from huggingface_hub import close_session

from tests.hub_server import Answer, HubServer
from tests.tracer.checkpoint.hub.conftest import point_at
from tracer.checkpoint.files import read_all
from tracer.checkpoint.hub import patience
from tracer.checkpoint.hub.files import HubFiles
from tracer.errors import InputError

TOKEN = "hf_not-a-real-token"
API, CONFIG = "/api/models", "config.json"


def refusal(monkeypatch: pytest.MonkeyPatch, token: str | None = None, revision: str | None = None) -> str:
    """The line that reading config.json of org/model ends with."""
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(InputError) as refused:
        read_all(HubFiles("org/model", revision), CONFIG, 2**20)
    line = str(refused.value)
    assert line.startswith("org/model")
    assert "\n" not in line
    assert TOKEN not in line
    return line


def error(path: str, status: int, code: str = "", message: str = "", **headers: str) -> Answer:
    named = {"X-Error-Code": code, "X-Error-Message": message} if code or message else {}
    return Answer(path, status, named | headers)


GATED = "Access to model org/model is restricted."
REFUSALS = [
    (error(CONFIG, 401, "GatedRepo", GATED), None, ["is gated; ask for access at http", "/org/model", "hf auth login"]),
    (error(CONFIG, 403, "GatedRepo", GATED), TOKEN, ["is gated and your token is not allowed in; ask for access at"]),
    (error(API, 401, "RepoNotFound"), None, ["no such folder here", "no such repository", "private", "HF_TOKEN"]),
    (error(API, 404, "RepoNotFound"), TOKEN, ["no such repository", "your token is not valid or does not see it"]),
    (error(API, 404, "RevisionNotFound"), None, ["no revision 'v9'; --revision takes a branch, a tag or a commit"]),
    (error(CONFIG, 404, "EntryNotFound"), None, ["org/model/config.json:", "does not have it (404)"]),
    (error(API, 401, message="Invalid credentials in Authorization header"), TOKEN, ["does not accept your token"]),
    (error(API, 403, message="Access to this resource is disabled."), None, ["is disabled on http"]),
    (error(API, 403, message="Storage  locked"), TOKEN, ["does not allow it (403: Storage locked)"]),
    (error(API, 429), None, ["429, too many requests; try again later, or log in for a higher limit"]),
    (error(API, 429, **{"Retry-After": "300"}), TOKEN, ["too many requests; try again in 300 s"]),
    (error(API, 429, ratelimit='"api";r=0;t=240'), TOKEN, ["try again in 240 s"]),
    (error(CONFIG, 503), None, ["org/model/config.json:", "fails with 503; try again later"]),
    (error(API, 500, message="Internal Error"), None, ["fails with 500: Internal Error"]),
    (error(API, 418), None, ["answers 418"]),
]


@pytest.mark.parametrize(("answer", "token", "parts"), REFUSALS)
def test_each_refusal_has_its_line(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, token: str | None, parts: list[str]
) -> None:
    hub.add("org/model", model)
    hub.add("org/model", model, "v9")
    hub.answers.append(answer)
    line = refusal(monkeypatch, token, "v9")
    for part in parts:
        assert part in line


def test_a_missing_repository_and_a_missing_revision_of_the_server_itself(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such repository" in refusal(monkeypatch)
    hub.add("org/model", model)
    assert "no revision 'v9'" in refusal(monkeypatch, revision="v9")


def test_what_may_pass_is_asked_three_times(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/model", model)
    hub.answers.append(error(API, 503))
    refusal(monkeypatch)
    assert len(hub.requests) == 3


def test_what_has_passed_is_no_error(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    hub.answers += [Answer(API, 503, times=2), Answer(CONFIG, 429, {"Retry-After": "0"}, times=1)]
    assert read_all(HubFiles("org/model"), CONFIG, 2**20) == (model / CONFIG).read_bytes()


def test_a_short_wait_is_waited_and_a_long_one_is_reported_at_once(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/model", model)
    slept: list[float] = []
    monkeypatch.setattr(patience, "sleep", slept.append)
    hub.answers += [error(API, 429, **{"Retry-After": "7"})]
    refusal(monkeypatch)
    assert slept == [7, 7]
    hub.answers[:] = [error(API, 429, **{"Retry-After": str(int(patience.LONGEST_WAIT) + 1)})]
    slept.clear()
    refusal(monkeypatch)
    assert slept == []


# --- the way there ---


def test_no_connection(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{unused.getsockname()[1]}", monkeypatch)
        assert "no connection to http://127.0.0.1" in (line := refusal(monkeypatch))
    assert "refused" in line
    assert "HF_HUB_OFFLINE=1" in line


def test_no_connection_to_the_proxy(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    close_session()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    point_at("https://hub.invalid", monkeypatch)
    assert "no connection to https://hub.invalid through the proxy of the environment: " in refusal(monkeypatch)


@pytest.mark.parametrize(("name", "value"), [("HTTPS_PROXY", "foo://x"), ("SSL_CERT_FILE", "/nowhere/cert.pem")])
def test_settings_of_the_network_that_cannot_be_used(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    close_session()
    monkeypatch.setenv(name, value)
    assert "the settings of the network cannot be used: " in refusal(monkeypatch)


def test_no_such_host(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("https://hub.invalid", monkeypatch)
    assert "no connection to https://hub.invalid: " in refusal(monkeypatch)


def test_no_answer_in_time(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.add("org/model", model)
    hub.answers.append(Answer(API, 200, delay=0.5))
    assert "did not answer within 0.1 s (HF_HUB_DOWNLOAD_TIMEOUT)" in refusal(monkeypatch)


def test_the_storage_is_named_where_it_is_the_one_that_fails(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/model", model)
    hub.answers.append(Answer(f"/resolve/{HubFiles('org/model').commit}/{CONFIG}", 302, {"Location": "http://x.invalid/"}))
    assert "no connection to http://x.invalid: " in refusal(monkeypatch)


def test_a_connection_that_breaks(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/model", model)
    hub.answers.append(Answer(API, 200, {"Content-Length": "500", "Connection": "close"}, b"{"))
    assert "broke: " in refusal(monkeypatch)


def test_a_server_without_tls(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(hub.endpoint.replace("http:", "https:"), monkeypatch)
    line = refusal(monkeypatch)
    assert "no secure connection to https://127.0.0.1" in line
    assert "SSL_CERT_FILE" in line


def test_a_circle_of_redirects(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.answers.append(Answer(API, 302, {"Location": f"{hub.endpoint}{API}/org/model"}))
    assert "redirects" in refusal(monkeypatch)


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://host", "http://", "http://host:port", "file:///etc"])
def test_an_endpoint_that_is_no_address(hub: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    point_at(endpoint, monkeypatch)
    assert f"HF_ENDPOINT is {endpoint!r}, expected the address of a Hub" in refusal(monkeypatch)


def test_a_page_that_is_no_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.answers.append(Answer("/", 200, {"Content-Type": "text/html"}, b"<html>Hello</html>"))
    assert "does not answer as a Hub does" in refusal(monkeypatch)


def test_a_password_in_the_address_is_not_shown(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("https://me:secret@hub.invalid", monkeypatch)
    line = refusal(monkeypatch)
    assert "https://hub.invalid" in line
    assert "secret" not in line


@pytest.mark.parametrize("letter", ["\x00", "é"])
def test_a_token_that_cannot_be_sent_is_not_shown(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, letter: str
) -> None:
    hub.add("org/model", model)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(TOKEN + letter + TOKEN)
    assert "characters that cannot be sent; see HF_TOKEN" in refusal(monkeypatch)


def test_a_token_that_the_server_repeats_is_not_shown(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.answers.append(error(API, 401, message=f"unknown token {TOKEN}"))
    assert "unknown token ***" in refusal(monkeypatch, TOKEN)


def test_an_id_that_the_library_does_not_take(hub: HubServer) -> None:
    with pytest.raises(InputError, match=r"org/a--b: no such file or folder here, and no id of the Hub"):
        HubFiles("org/a--b")
    assert hub.requests == []


def test_the_names_of_errors_are_those_of_the_http_client() -> None:
    """They are compared by name, because the library changes the package they come from."""
    from importlib import import_module

    from huggingface_hub.errors import HfHubHTTPError

    client = import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    named = {
        "ReadTimeout", "ReadError", "RemoteProtocolError", "LocalProtocolError", "UnsupportedProtocol", "InvalidURL",
        "ProxyError", "TimeoutException", "ConnectError", "TransportError", "RequestError",
    }  # fmt: skip
    assert {name for name in named if not isinstance(getattr(client, name, None), type)} == set()
