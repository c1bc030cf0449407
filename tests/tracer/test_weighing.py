"""Files that are not here are weighed: against files that the safetensors library and torch really wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mappings.findings import Finding
from tracer.report.verdict import proofs
from tracer.session import Request, Result, run

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 704, "num_hidden_layers": 3, "vocab_size": 1000, "torch_dtype": "bfloat16",
}  # fmt: skip
BIN, SAFETENSORS = "pytorch_model-{}.bin", "model-{}.safetensors"
Tensors = dict[str, torch.Tensor]
Write = Callable[[Tensors, Path], object]


def save_pickle(tensors: Tensors, path: Path) -> None:
    torch.save(tensors, path)


def tensors_of(**changes: Any) -> Tensors:
    """What config.json promises, as another loader's library would build it."""
    config = CONFIG | changes
    hidden, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    dim = hidden // config["num_attention_heads"]
    kv = config["num_key_value_heads"] * dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.{norm}_layernorm": (hidden,) for norm in ("input", "post_attention")}
        shapes |= {f"{at}.self_attn.{name}_proj": (hidden, hidden) for name in "qo"}
        shapes |= {f"{at}.self_attn.{name}_proj": (kv, hidden) for name in "kv"}
        shapes |= {f"{at}.mlp.{name}_proj": (ffn, hidden) for name in ("gate", "up")}
        shapes |= {f"{at}.mlp.down_proj": (hidden, ffn)}
    shapes |= {"model.norm": (hidden,), "lm_head": (vocab, hidden)}
    return {f"{name}.weight": torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}


def clone(
    folder: Path, tensors: Tensors, pattern: str = SAFETENSORS, total: int | None = None, **config: Any
) -> Path:
    """Three real files, each then replaced by its pointer."""
    names = sorted(tensors)
    weight_map = {name: pattern.format(1 + 3 * at // len(names)) for at, name in enumerate(names)}
    for file in dict.fromkeys(weight_map.values()):
        own = {name: tensors[name] for name in names if weight_map[name] == file}
        (save_pickle if pattern == BIN else save_file)(own, folder / file)
        point(folder / file, (folder / file).stat().st_size)
    size = sum(tensor.nbytes for tensor in tensors.values()) if total is None else total
    index = "pytorch_model.bin.index.json" if pattern == BIN else "model.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    return folder


def point(path: Path, size: int) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n")


def weighed(folder: Path) -> Result:
    return run(Request(str(folder), plan_only=True))


def judged(folder: Path) -> list[Finding]:
    return [finding for finding in weighed(folder).findings if finding.code != "file.lfs-pointer"]


def said(folder: Path) -> Finding:
    (finding,) = judged(folder)
    return finding


BOTH = pytest.mark.parametrize("pattern", [SAFETENSORS, BIN])


@BOTH
def test_sound_files_weigh_what_the_rows_say(tmp_path: Path, pattern: str) -> None:
    result = weighed(clone(tmp_path, tensors_of(), pattern))
    assert [finding.code for finding in result.findings] == ["file.lfs-pointer"]
    assert [check.name for check in result.prepared.unchecked] == ["headers"]
    assert "3 of 3 files" in result.prepared.weighed
    assert "metadata.total_size" in result.prepared.weighed


@BOTH
def test_all_in_another_data_type(tmp_path: Path, pattern: str) -> None:
    finding = said(clone(tmp_path, {name: tensor.float() for name, tensor in tensors_of().items()}, pattern))
    assert (finding.code, finding.severity, finding.subject) == ("config.conflict", "warning", "torch_dtype")
    assert finding.evidence["bytes_per_element"] == 4


def test_a_data_type_that_nobody_stated_contradicts_nobody(tmp_path: Path) -> None:
    wide = {name: tensor.float() for name, tensor in tensors_of().items()}
    assert said(clone(tmp_path, wide, torch_dtype=None)).severity == "info"


@BOTH
@pytest.mark.parametrize("wide", [["lm_head.weight"], ["model.embed_tokens.weight", "lm_head.weight"]])
def test_some_in_another_data_type(tmp_path: Path, pattern: str, wide: list[str]) -> None:
    tensors = tensors_of()
    finding = said(clone(tmp_path, tensors | {name: tensors[name].float() for name in wide}, pattern))
    assert (finding.code, finding.severity) == ("config.conflict", "info")
    assert finding.evidence["tensors"] == len(wide)
    assert all(name in finding.message for name in wide)


def test_norms_in_another_data_type_are_no_fault(tmp_path: Path) -> None:
    tensors = tensors_of()
    norms = {name: tensor.float() for name, tensor in tensors.items() if tensor.dim() == 1}
    total = sum(tensor.nbytes for tensor in (tensors | norms).values())
    assert {f.severity for f in judged(clone(tmp_path, tensors | norms, total=total))} <= {"info"}


@pytest.mark.parametrize(("field", "stored"), [
    ("vocab_size", 1016), ("intermediate_size", 640), ("num_key_value_heads", 4), ("hidden_size", 320),
])  # fmt: skip
def test_a_config_of_another_model_is_named_by_the_field(tmp_path: Path, field: str, stored: int) -> None:
    finding = said(clone(tmp_path, tensors_of(**{field: stored})))
    assert (finding.code, finding.severity, finding.subject) == ("config.conflict", "error", field)
    assert (finding.evidence["found"], finding.evidence["fits"]) == (CONFIG[field], stored)


def test_the_total_alone_names_the_field(tmp_path: Path) -> None:
    folder = clone(tmp_path, tensors_of(vocab_size=1016))
    for file in folder.glob("*.safetensors"):
        file.unlink()
    finding = said(folder)
    assert (finding.code, finding.severity, finding.evidence["fits"]) == ("config.conflict", "error", 1016)


@BOTH
def test_a_file_of_another_upload(tmp_path: Path, pattern: str) -> None:
    folder = clone(tmp_path, tensors_of(), pattern)
    size = 100_000
    point(folder / pattern.format(2), size)
    finding = said(folder)
    assert (finding.code, finding.severity, finding.subject) == ("index.wrong-shard", "error", pattern.format(2))
    assert finding.evidence["size"] == size


@pytest.mark.parametrize(("share", "severity"), [(0.005, "info"), (0.5, "warning")])
def test_a_file_that_holds_more_than_the_index_lists(tmp_path: Path, share: float, severity: str) -> None:
    folder = clone(tmp_path, tensors_of())
    path = folder / SAFETENSORS.format(2)
    size = int(path.read_text().split()[-1])
    point(path, size + int(size * share))
    finding = said(folder)
    assert (finding.code, finding.severity, finding.subject) == ("index.unlisted-tensor", severity, path.name)


@pytest.mark.parametrize("total", [0, 1, 10**71])
def test_a_total_that_is_wrong_where_the_files_are_right(tmp_path: Path, total: int) -> None:
    finding = said(clone(tmp_path, tensors_of(), total=total))
    assert (finding.code, finding.severity) == ("index.total-size", "warning")


def test_a_total_that_counts_headers_too(tmp_path: Path) -> None:
    folder = clone(tmp_path, tensors_of())
    files = sum(int(path.read_text().split()[-1]) for path in folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"metadata": {"total_size": files}}))
    assert judged(folder) == []


def test_two_names_of_one_storage(tmp_path: Path) -> None:
    """torch writes a shared storage once, and both names are in the index; by name they come into the same file."""
    tensors = tensors_of()
    shared = tensors["lm_head.weight"]
    total = sum(tensor.nbytes for tensor in tensors.values()) - shared.nbytes
    folder = clone(tmp_path, tensors | {"model.embed_tokens.weight": shared}, BIN, total)
    finding = said(folder)
    assert (finding.code, finding.severity) == ("tie.conflict", "info")
    for file in folder.glob("*.bin"):
        file.unlink()
    assert said(folder).code == "tie.conflict"


def test_tensors_without_a_row_are_not_weighed(tmp_path: Path) -> None:
    result = weighed(clone(tmp_path, tensors_of() | {"tower.weight": torch.zeros(3, 1000)}))
    assert [f.code for f in result.findings if f.severity != "info"] == ["tensor.unmapped"]
    assert [check.name for check in result.prepared.unchecked] == ["headers", "sizes of files"]


def test_a_small_file_beside_pointers_is_no_half_finished_clone(tmp_path: Path) -> None:
    """What Git-LFS was not told to keep is in the clone as it is."""
    tensors = tensors_of()
    folder = clone(tmp_path, tensors)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.norm.weight"] = "norm.safetensors"
    moved = SAFETENSORS.format(3)
    point(folder / moved, int((folder / moved).read_text().split()[-1]) - tensors["model.norm.weight"].nbytes - 90)
    save_file({"model.norm.weight": tensors["model.norm.weight"]}, folder / "norm.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert judged(folder) == []
    save_file({"model.norm.weight": torch.zeros(255, dtype=torch.bfloat16)}, folder / "norm.safetensors")
    assert [f.code for f in judged(folder) if f.severity == "error"] == ["shape.mismatch"]


@pytest.mark.parametrize(("dtype", "codes"), [(torch.bfloat16, []), (torch.float32, ["config.conflict"])])
def test_one_file_without_an_index(tmp_path: Path, dtype: torch.dtype, codes: list[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in tensors_of().items()}, path)
    point(path, path.stat().st_size)
    assert [finding.code for finding in judged(tmp_path)] == codes


@pytest.mark.parametrize(("share", "found"), [
    (0.0001, [("file.truncated", "error")]), (0.5, [("config.conflict", "warning")]), (1.05, []),
    (1.3, [("config.conflict", "warning")]),
])  # fmt: skip
def test_one_file_of_another_size_without_an_index(
    tmp_path: Path, share: float, found: list[tuple[str, str]]
) -> None:  # fmt: skip
    """Names are guessed, so that only what is far off is judged, and buffers are nothing to wonder about."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    point(tmp_path / "model.safetensors", int(share * sum(tensor.nbytes for tensor in tensors_of().values())))
    assert [(finding.code, finding.severity) for finding in judged(tmp_path)] == found
    unchecked = [check.name for check in weighed(tmp_path).prepared.unchecked]
    assert ("sizes of files" in unchecked) == (not found)


def test_a_gguf_pointer_is_not_weighed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    point(tmp_path / "model.Q8_0.gguf", 3_000_000)
    assert judged(tmp_path) == []


def test_shards_that_the_index_does_not_name(tmp_path: Path) -> None:
    folder = clone(tmp_path, tensors_of())
    point(folder / "model-00001-of-00007.safetensors", 100_000)
    finding = said(folder)
    assert (finding.code, finding.severity) == ("shards.second-copy", "warning")
    for file in folder.glob("model-?.safetensors"):
        file.unlink()
    codes = {finding.code: finding.severity for finding in judged(folder)}
    assert codes == {"index.missing-file": "error", "shards.second-copy": "warning"}


def test_one_table_with_more_rows_than_the_others(tmp_path: Path) -> None:
    tensors = tensors_of() | {"model.embed_tokens.weight": torch.zeros(1041, 256, dtype=torch.bfloat16)}
    finding = said(clone(tmp_path, tensors))
    assert (finding.code, finding.severity) == ("config.conflict", "error")
    # The other table has the same shape, and is in the same file.
    assert finding.subject in ("lm_head.weight", "model.embed_tokens.weight")
    assert (finding.evidence["found"], finding.evidence["fits"]) == (1000, 1041)


def test_a_safetensors_file_cannot_hold_two_tensors_once(tmp_path: Path) -> None:
    """Untied by config.json, listed by the index, and not in the file."""
    tensors = tensors_of()
    folder = clone(tmp_path, tensors)
    path = folder / SAFETENSORS.format(1)
    point(path, int(path.read_text().split()[-1]) - tensors["lm_head.weight"].nbytes)
    assert (said(folder).code, said(folder).severity) == ("index.wrong-shard", "error")


def test_a_field_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = clone(tmp_path, tensors_of(), num_key_value_heads=None)
    finding = said(folder)
    assert (finding.severity, finding.subject, finding.evidence["fits"]) == ("error", "num_key_value_heads", 2)


def test_the_config_of_another_model_is_one_finding(tmp_path: Path) -> None:
    folder = clone(tmp_path, tensors_of(), hidden_size=512, intermediate_size=1000, vocab_size=3000)
    finding = said(folder)
    assert (finding.code, finding.severity, finding.subject) == ("config.conflict", "error", "config.json")


def test_files_that_exchanged_their_contents_are_not_another_model(tmp_path: Path) -> None:
    folder = clone(tmp_path, tensors_of())
    one, two = (folder / SAFETENSORS.format(n) for n in (1, 2))
    sizes = one.read_text(), two.read_text()
    one.write_text(sizes[1])
    two.write_text(sizes[0])
    assert "index.wrong-shard" in {finding.code for finding in judged(folder)}


def test_tables_in_f32_and_twice_the_vocabulary_weigh_the_same(tmp_path: Path) -> None:
    """Publishers keep tables in F32; the other reading is said, and does not count as a fault."""
    finding = said(clone(tmp_path, tensors_of(vocab_size=2000)))
    assert finding.severity == "info"
    assert "vocab_size = 2000" in finding.message


def test_names_that_nobody_claims_are_counted_and_not_called_ok(tmp_path: Path) -> None:
    result = weighed(clone(tmp_path, tensors_of() | {f"tower.{n}.weight": torch.zeros(8) for n in range(3)}))
    assert "names 3 not claimed" in proofs(result)


@pytest.mark.parametrize("tied", [True, False])
def test_a_tie_is_a_module_that_the_model_has(tmp_path: Path, tied: bool) -> None:
    tensors = tensors_of() | {"lm_head.bias": torch.zeros(1000, dtype=torch.bfloat16)}
    if tied:
        del tensors["lm_head.weight"]
    found = judged(clone(tmp_path, tensors, tie_word_embeddings=tied))
    assert [(f.code, f.severity, f.subject) for f in found if f.severity != "info"] == [
        ("tensor.unmapped", "error", "lm_head.bias")
    ]
