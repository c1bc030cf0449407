"""A Hub on this machine, which huggingface_hub in this process takes for the real one, and a model to put there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from fixtures.header_set import split, tensors_of, write_header_only
from tests.hub_server import HubServer
from tracer.checkpoint.hub import patience

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 65536, "torch_dtype": "float32",
}  # fmt: skip
SHARDS = 3


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 3 shards and 34 MB, all of it zeros."""
    return write_model(tmp_path_factory.mktemp("model"), SHARDS)


def write_model(folder: Path, shards: int) -> Path:
    weight_map: dict[str, str] = {}
    for number, own in enumerate(split(tensors_of(CONFIG), shards), 1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        write_header_only(folder / file, own)
        weight_map |= dict.fromkeys((tensor.name for tensor in own), file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The library reads its settings when it is imported, so this process needs them changed where it keeps them."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(patience, "sleep", sleep_briefly)
    with HubServer() as server:
        point_at(server.endpoint, monkeypatch)
        yield server
        huggingface_hub.close_session()


def sleep_briefly(seconds: float) -> None:
    assert seconds <= patience.LONGEST_WAIT, "a user would have to wait for minutes"
    time.sleep(0.01)


def point_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_ENDPOINT would have."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
