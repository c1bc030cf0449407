"""The architecture that a GGUF file gives as its own, against gguf-py's list of what each architecture has."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES, MODEL_TENSORS, TENSOR_NAMES

from fixtures.gguf import Stored, Typed, document
from tests.tracer.doctor.told import Told

GLM4 = (
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "post_attention_norm", "ffn_norm", "ffn_up", "ffn_down",
    "post_ffw_norm",
)  # fmt: skip
WITHOUT_ROWS = [arch for arch in MODEL_ARCH if MODEL_ARCH_NAMES[arch] not in ("llama", "qwen2", "qwen3")]


def in_layers(modules: Iterable[str], layers: int = 3) -> list[str]:
    outside = ["token_embd.weight", "output_norm.weight", "output.weight"]
    return outside + [f"blk.{layer}.{module}.weight" for layer in range(layers) for module in modules]


def told(folder: Path, label: str, names: Iterable[str], **more: str) -> Told:
    values = {"general.architecture": label} | {key.replace("__", "."): value for key, value in more.items()}
    tensors = [Stored(name, "F32", (4,), b"\x3f" * 16) for name in names]
    content = document({key: Typed("str", value) for key, value in values.items()}, tensors)
    (folder / "m.gguf").write_bytes(content)
    return Told(folder / "m.gguf")


def test_tensors_that_the_label_never_has_are_told_with_the_label_that_has_all(tmp_path: Path) -> None:
    finding = told(tmp_path, "chatglm", in_layers(GLM4))["arch.mismatch"]
    assert finding.severity == "warning"
    assert finding.message.startswith("general.architecture is chatglm, of which gguf ")
    assert "lists no such tensors as 6 of the 33 here are: blk.{0..2}.post_attention_norm.weight" in finding.message
    assert "; all are in its list of glm4 (" in finding.message
    assert str(finding.fix).startswith("convert the model again as glm4")


@pytest.mark.parametrize("label", ["glm4", "gemma3"])
def test_the_same_tensors_under_a_label_that_has_them_are_in_order(label: str, tmp_path: Path) -> None:
    found = told(tmp_path, label, in_layers(GLM4))
    assert "arch.mismatch" not in found.codes()
    assert found.check("names").told.endswith(f" lists for {label}")


@pytest.mark.parametrize("arch", WITHOUT_ROWS, ids=lambda arch: MODEL_ARCH_NAMES[arch])
def test_all_that_an_architecture_may_have_is_its_own(arch: MODEL_ARCH, tmp_path: Path) -> None:
    label = MODEL_ARCH_NAMES[arch]
    templates = [TENSOR_NAMES[kind] for kind in MODEL_TENSORS[arch]]
    names = [f"{template.format(bid=layer)}.{leaf}" for template in templates for layer in (0, 7)
             for leaf in ("weight", "bias")]  # fmt: skip
    found = told(tmp_path, label, dict.fromkeys(names))
    assert "arch.mismatch" not in found.codes()
    assert not templates or f"lists for {label}" in found.check("names").told


def test_experts_one_by_one_are_those_that_are_stacked_now(tmp_path: Path) -> None:
    experts = [f"{part}.{n}" for part in ("ffn_gate", "ffn_up", "ffn_down") for n in range(4)]
    found = told(tmp_path, "qwen3moe", in_layers(["attn_norm", "ffn_gate_inp", *experts]))
    assert "arch.mismatch" not in found.codes()
    assert "lists for qwen3moe" in found.check("names").told


@pytest.mark.parametrize(("label", "module", "reason"), [
    ("glm4", "tomorrows_norm", "3 tensors that gguf {} lists neither for glm4 nor"),
    ("tomorrows", "attn_norm", "gguf {} lists no tensors for the architecture tomorrows"),
])  # fmt: skip
def test_what_the_list_does_not_have_is_not_checked_rather_than_wrong(
    label: str, module: str, reason: str, tmp_path: Path
) -> None:
    from importlib.metadata import version

    found = told(tmp_path, label, in_layers([module]))
    assert "arch.mismatch" not in found.codes()
    assert reason.format(version("gguf")) in found.check("names").unchecked


@pytest.mark.parametrize("kind", ["adapter", "mmproj", "imatrix"])
def test_what_is_no_model_has_names_of_its_own(kind: str, tmp_path: Path) -> None:
    found = told(tmp_path, "chatglm", in_layers(GLM4), general__type=kind)
    assert "arch.mismatch" not in found.codes()


def test_without_the_package_it_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracer.doctor import labels

    labels._lists.cache_clear()
    monkeypatch.setitem(sys.modules, "gguf.constants", None)
    try:
        found = told(tmp_path, "chatglm", in_layers(GLM4))
    finally:
        labels._lists.cache_clear()
    assert "arch.mismatch" not in found.codes()
    assert "the package `gguf`" in found.check("names").unchecked
