"""Published GGUF files, rebuilt as real headers from what their loaders logged: keys, types and counts of tensors.

The tensors' names come from gguf-py's list of what each architecture has; sizes and counts are checked against what
llama.cpp printed of the real file.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import pytest
from gguf.constants import MODEL_ARCH, MODEL_TENSORS, TENSOR_NAMES

from fixtures.gguf import Stored, Typed, write_sparse
from mappings.ggml import BLOCKS
from mappings.proof import prove
from tests.corpus import described
from tracer.checkpoint.gguf import read
from tracer.prepare import Request, prepare

LLAMA, QWEN = "gguf-llama-2-13b-chat-q8_0", "gguf-qwen3-32b-q4_0"
ARCHITECTURES = {LLAMA: MODEL_ARCH.LLAMA, QWEN: MODEL_ARCH.QWEN3}
NOT_IN_THE_FILE = ("rope_freqs", "attn_rot_embd", "ffn_gate_inp", "exps")
BILLION, GIBIBYTE = 1e9, 1 << 30


def typed(entry: dict[str, Any]) -> Typed:
    """A value as the loader logged it; lists were cut, so of them only the length is real."""
    kind, value = entry["type"], entry["value"]
    if kind.startswith("arr["):
        item, count = kind[4:-1].split(",")
        return Typed(f"[{item}]", ["x"] * int(count) if item == "str" else [0] * int(count))
    if kind == "str":
        return Typed(kind, value)
    return Typed(kind, value == "true" if kind == "bool" else float(value) if kind == "f32" else int(value))


def tensors(slug: str) -> list[Stored]:
    """Every name of the architecture, with the shapes of the published sizes and the types of the published counts."""
    keys = {key.partition(".")[2]: entry["value"] for key, entry in described(slug, "gguf.json")["kv"].items()}
    hidden, ffn, layers = (int(keys[k]) for k in ("embedding_length", "feed_forward_length", "block_count"))
    heads, kv = int(keys["attention.head_count"]), int(keys["attention.head_count_kv"])
    dim = int(keys.get("attention.key_length", hidden // heads))
    vocab = int(described(slug, "gguf.json")["kv"]["tokenizer.ggml.tokens"]["type"].split(",")[1][:-1])
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (vocab, hidden), "output": (vocab, hidden), "attn_q": (heads * dim, hidden),
        "attn_k": (kv * dim, hidden), "attn_v": (kv * dim, hidden), "attn_output": (hidden, heads * dim),
        "ffn_gate": (ffn, hidden), "ffn_up": (ffn, hidden), "ffn_down": (hidden, ffn), "attn_q_norm": (dim,),
        "attn_k_norm": (dim,), "attn_norm": (hidden,), "ffn_norm": (hidden,), "output_norm": (hidden,),
    }  # fmt: skip
    found = []
    for template in (TENSOR_NAMES[kind] for kind in MODEL_TENSORS[ARCHITECTURES[slug]]):
        module = template.rpartition(".")[2]
        if not module.endswith(NOT_IN_THE_FILE):
            names = [template.format(bid=n) for n in range(layers)] if "{bid}" in template else [template]
            found += [Stored(f"{name}.weight", _dtype(slug, name), shapes[module]) for name in names]
    return found


def _dtype(slug: str, name: str) -> str:
    if name.endswith("norm"):
        return "F32"
    if slug == LLAMA:
        return "Q8_0"
    more = name == "output", name.endswith("ffn_down") and int(name.split(".")[1]) < 8
    return "Q6_K" if more[0] else "Q4_1" if more[1] else "Q4_0"


@pytest.fixture(params=ARCHITECTURES)
def slug(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(slug: str, tmp_path: Path) -> Path:
    published = described(slug, "gguf.json")
    values = {key: typed(entry) for key, entry in published["kv"].items()}
    return write_sparse(tmp_path / published["file"], values, tensors(slug))


def test_the_rebuilt_header_is_the_published_one(slug: str, path: Path) -> None:
    published = described(slug, "gguf.json")
    with path.open("rb") as file:
        header = read(file, path.stat().st_size, path.name, path.name)
    assert len(header.tensors) == published["n_tensors"]
    assert len(header.metadata) == published["n_kv"] + 1
    counts = Counter(tensor.dtype for tensor in header.tensors)
    assert counts == {kind.upper(): count for kind, count in published["type_counts"].items()}
    elements, size = (float(published["print_meta"][key].split()[0]) for key in ("params", "size"))
    assert sum(prod(tensor.shape) for tensor in header.tensors) / BILLION == pytest.approx(elements, abs=6e-4)
    assert sum(tensor.nbytes for tensor in header.tensors) / GIBIBYTE == pytest.approx(size, abs=6e-4)


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_every_name_is_claimed_and_all_six_proofs_hold(slug: str, path: Path, tp: int) -> None:
    prepared = prepare(Request(str(path), tp=tp, plan_only=True))
    assert prepared.checkpoint is not None
    assert prepared.plan.binding.arch.dialect == "gguf"
    assert {claim.disposition for claim in prepared.plan.claims} == {"loaded"}
    proofs = prove(prepared.plan, prepared.checkpoint.spans)
    assert [proof.name for proof in proofs if not proof.holds] == []
    assert any(tensor.dtype in BLOCKS for tensor in prepared.infos)
