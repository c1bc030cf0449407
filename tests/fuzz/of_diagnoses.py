"""Checkpoints of every family, changed in ways that no writer changes them, beside words about another one.

Containers stay sound more often than not: it is names, shapes, types and configs that make no sense together. Nobody
has a second opinion of that; what is asked is one answer, in bounded time and memory, that can be printed, and that
damage to files that `tracer doctor` finds is never told to be nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from tests.catalogue import test_entries, test_later_entries
from tests.fuzz import json_damage, of_gguf, of_pytorch, of_safetensors
from tests.fuzz.case import Blob, Case, Entry
from tests.fuzz.limits import MEMORY, bounded
from tests.fuzz.ours import Errors, Wrong, check_lines
from tests.fuzz.sources import header_of
from tracer import cli
from tracer.checkpoint.dtypes import BITS

MODEL, ASKED, OTHER = "model", b"asked.json", b"other/"
SECONDS = 5.0
"""Of the processor, for one of these small checkpoints."""
_LARGEST = 1 << 20
"""Bytes of a file that is used as it is; of a larger one only the header is."""
_COPIED = 1 << 26
"""Bytes of a model of which a corrected copy may be asked for: what is a hole here is written out there."""
_MOST_NUMBERS = 1 << 40
"""Of one tensor; no file system takes a hole of more than that."""
Tensor = tuple[str, str, list[int]]
Change = Callable[[random.Random, list[Tensor]], list[Tensor]]
_OF_FILES = ("file", "header", "pickle", "index")
"""Families of codes that no words and no values make harmless."""
CASES = (*test_entries.CASES, *test_later_entries.CASES)
WORDS = sorted({each.said for each in CASES if each.said})
"""What users saw."""
NAMES = (
    "", ".", "..", "a..b", ".weight", "weight.", "weight", "bias", "0", "0.0", "-1", "layers", "model.layers.0",
    "model.layers.²", "model.layers.²8.a.weight", "model.layers.-1.mlp.up_proj.weight", "lm_head", "k_norm", "scales",
    "model.layers.00.mlp.up_proj.weight", "model.layers.123456789.mlp.up_proj.weight", ".".join("0" * 200), "x" * 3000,
    "nämé\n", "{}", "%s", "a b", "`", "model.layers.{}.mlp.up_proj.weight", "\u202e.weight", "weight.quant_state.",
    ".g_idx", "experts.0", "a.experts", "base_model.model.", "blk.0", "blk.x.attn_q.weight", "module.", "_orig_mod.",
    "model.layers.0.self_attn",
)  # fmt: skip
LEAVES = (
    "weight", "bias", "scales", "biases", "qweight", "qzeros", "g_idx", "weight_scale", "weight_scale_inv", "SCB",
    "weight_scale_2", "input_scale", "weight_packed", "weight_shape", "weight_zero_point", "lora_A.weight", "absmax",
    "lora_B.weight", "weight.quant_state.bitsandbytes__nf4", "weight.absmax", "inv_freq", "k_scale", "codebooks",
    "gamma", "weight_g", "modules_to_save.weight", "lora_magnitude_vector",
)  # fmt: skip
SHAPES: tuple[list[int], ...] = ([], [0], [1], [0, 5], [5, 0], [1, 1], [2, 0, 3], [7], [3, 3], [1] * 9, [64, 1])
NUMBERS = ("0", "1", "-1", "2", "3", "7", "8", "64", "4096", "9" * 30, "18446744073709551616", "1e400", "nan", "०", "²")
FIELDS = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "vocab_size", "model_type", "architectures", "tie_word_embeddings", "quantization_config", "torch_dtype",
    "rope_scaling", "rope_theta", "text_config", "vision_config", "num_experts", "num_local_experts", "layer_types",
    "max_position_embeddings", "partial_rotary_factor", "rms_norm_eps", "auto_map", "num_nextn_predict_layers",
)  # fmt: skip
SCHEMES: tuple[Any, ...] = (
    {}, [], "gptq", 4, {"quant_method": None}, {"quant_method": "never_heard_of"}, {"quant_method": ["gptq"]},
    {"quant_method": "gptq", "bits": "4", "group_size": 0}, {"quant_method": "gptq", "bits": 0, "group_size": -1},
    {"quant_method": "awq", "bits": 3, "group_size": "x", "modules_to_not_convert": {}},
    {"quant_method": "fp8", "weight_block_size": [0, 0]}, {"quant_method": "fp8", "weight_block_size": "128"},
    {"quant_method": "fp8", "weight_block_size": [128], "ignored_layers": [None, 3]},
    {"quant_method": "compressed-tensors", "config_groups": []}, {"quant_method": "bitsandbytes", "load_in_4bit": 7},
    {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": None, "targets": 3}}, "ignore": "re:("},
    {"quant_method": "compressed-tensors", "ignore": ["re:(", "re:.*(a+)+$", 5], "config_groups": {"": {}}},
    {"quant_method": "mxfp4", "modules_to_not_convert": None}, {"bits": 0, "group_size": 0}, {"bits": 4},
    {"quant_algo": "NVFP4", "exclude_modules": "lm_head"}, {"quant_method": "quanto", "weights": {}},
)  # fmt: skip


# --- what is changed ---


@lru_cache(maxsize=64)
def source(number: int) -> dict[bytes, Blob]:
    """A checkpoint of the catalogue, file by file."""
    case = CASES[number]
    with tempfile.TemporaryDirectory() as name:
        case.make().write(Path(name), case.seed)
        files = [path for path in sorted(Path(name).rglob("*")) if path.is_file()]
        return {str(path.relative_to(name)).encode(): _blob(path) for path in files}


def _any_source(rng: random.Random) -> dict[bytes, Blob]:
    return dict(source(rng.randrange(len(CASES))))


def _blob(path: Path) -> Blob:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _LARGEST:
            return Blob(file.read())
        head = file.read(8)
        head += file.read(min(int.from_bytes(head, "little"), _LARGEST))
    return Blob(head, size - len(head))


def _tensors(blob: Blob) -> list[Tensor]:
    """Of a sound header; empty for any other file."""
    length = int.from_bytes(blob.head[:8], "little")
    try:
        header = json.loads(blob.head[8 : 8 + length])
        return [(n, e["dtype"], list(e["shape"])) for n, e in header.items() if n != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _renamed(rng: random.Random, tensors: list[Tensor]) -> list[Tensor]:
    at = rng.randrange(len(tensors))
    return [*tensors[:at], (rng.choice(NAMES), *tensors[at][1:]), *tensors[at + 1 :]]


def _all_renamed(rng: random.Random, tensors: list[Tensor]) -> list[Tensor]:
    """One edit of every name: segments off its ends, a word before it, another leaf."""
    front, leaf = rng.choice(NAMES), rng.choice(LEAVES)
    edits: list[Callable[[str], str]] = [
        lambda name: name.rpartition(".")[2], lambda name: name.partition(".")[0], lambda name: f"{front}.{name}",
        lambda name: name.partition(".")[2], lambda name: name.rpartition(".")[0], lambda name: name.replace(".", "_"),
        lambda name: f"{name.rpartition('.')[0]}.{leaf}", lambda name: name.replace("model.", front),
        lambda name: re.sub(r"\d+", "", name), lambda name: re.sub(r"\d+", lambda m: str(int(m[0]) * 7 + 3), name),
    ]  # fmt: skip
    edit = rng.choice(edits)
    return [(edit(name), *rest) for name, *rest in tensors]  # type: ignore[misc]


def _another_leaf(rng: random.Random, tensors: list[Tensor]) -> list[Tensor]:
    """Something of a quantiser, or of an adapter, beside some."""
    leaf, dtype, shape = rng.choice(LEAVES), rng.choice(sorted(BITS)), rng.choice(SHAPES)
    chosen = rng.sample(tensors, min(len(tensors), rng.choice([1, 3, 50])))
    new = [(f"{name.rpartition('.')[0]}.{leaf}", dtype, rng.choice([shape, own])) for name, _, own in chosen]
    return [*tensors, *new]


def _dropped(rng: random.Random, tensors: list[Tensor]) -> list[Tensor]:
    """One, all of a word, or all but one."""
    name = rng.choice(tensors)[0]
    word = rng.choice(name.split("."))
    return rng.choice([
        [each for each in tensors if each[0] != name], [each for each in tensors if word not in each[0].split(".")],
        [each for each in tensors if each[0] == name],
    ])  # fmt: skip


def _reshaped(rng: random.Random, tensors: list[Tensor]) -> list[Tensor]:
    """One, or all with the same leaf."""
    leaf, shape, dtype = rng.choice(tensors)[0].rpartition(".")[2], rng.choice(SHAPES), rng.choice(sorted(BITS))
    one, turned, typed = rng.choice([leaf, rng.choice(tensors)[0]]), rng.random() < 0.3, rng.random() < 0.5
    return [
        (name, dtype if typed else own, old[::-1] if turned else old if typed else list(shape))
        if name.endswith(one) else (name, own, old) for name, own, old in tensors
    ]  # fmt: skip


CHANGES: Sequence[Change] = (_renamed, _all_renamed, _another_leaf, _dropped, _reshaped)


def _header_changed(rng: random.Random, blob: Blob) -> Blob:
    """The same file with other tensors, and no numbers; of no name two, since no writer can."""
    tensors = _tensors(blob)
    for _ in range(rng.choice([1, 1, 2, 3])):
        tensors = rng.choice(CHANGES)(rng, tensors) if tensors else tensors
    by_name = {each[0]: each for each in tensors if each[0] != "__metadata__" and each[1] in BITS}
    return header_of([each for each in by_name.values() if prod(each[2]) < _MOST_NUMBERS])


def _config_changed(rng: random.Random, content: bytes) -> bytes:
    """A field that somebody reads, of any type; or anything that can happen to JSON."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if rng.random() < 0.3 or not isinstance(document, dict):
        return json_damage.damaged(rng, content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        inner = [each for each in document.values() if isinstance(each, dict)]
        holder = rng.choice([document, document, *inner])
        field = rng.choice([*FIELDS, *holder])
        values = SCHEMES if "quant" in field else [*json_damage.VALUES, *map(_typed, NUMBERS)]
        holder[field] = deepcopy(rng.choice(values))
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _typed(number: str) -> Any:
    return int(number) if number.lstrip("-").isdecimal() and number.isascii() else number


def _files_changed(rng: random.Random, files: dict[bytes, Blob]) -> None:
    """One file: its tensors, its fields, its bytes; gone, another's, or one more."""
    name = rng.choice(sorted(files))
    if rng.random() < 0.07:
        del files[name]
    elif name.endswith(b".safetensors") and _tensors(files[name]) and rng.random() < 0.9:
        files[name] = _header_changed(rng, files[name])
    elif name.endswith(b".json"):
        files[name] = Blob(_config_changed(rng, files[name].head))
    elif name.endswith(b".gguf"):
        files[name] = files[name]._replace(head=of_gguf.swell(rng, files[name].head))
    elif rng.random() < 0.5:
        made = rng.choice([of_safetensors, of_gguf, of_pytorch]).make(rng).files
        files[name] = next((each for each in made.values() if isinstance(each, Blob)), files[name])
    else:
        files |= {each: blob for each, blob in _any_source(rng).items() if rng.random() < 0.5}


# --- what is said ---


def _said(rng: random.Random, names: Sequence[str]) -> str:
    """Words of one user or of two, with other names and numbers in them."""
    text = rng.choice(WORDS)
    if rng.random() < 0.2:
        text += rng.choice(["\n", " ", "\n\n"]) + rng.choice(WORDS)
    if rng.random() < 0.7:
        text = re.sub(r"\w+(?:\.\w+){2,}", lambda found: _other_name(rng, found[0], names), text)
    if rng.random() < 0.3:
        text = re.sub(r"\d+", lambda found: rng.choice([found[0], rng.choice(NUMBERS)]), text)
    if rng.random() < 0.1:
        text = text[: rng.randrange(len(text))]
    return text.encode("utf-8", "replace").decode()


def _other_name(rng: random.Random, said: str, names: Sequence[str]) -> str:
    own = rng.choice(names) if names else said
    module = own.rpartition(".")[0]
    return rng.choice([said, own, own, module, f"{module}.{rng.choice(LEAVES)}", f"a.{own}", rng.choice(NAMES)])


def _options(rng: random.Random, size: int) -> list[str]:
    """With and without values; outputs go beside the model."""
    options = rng.choice([[], ["--no-values"], ["--no-values"], ["--values"]])
    options = [*options, *rng.choice([[], [], ["--tp", rng.choice(["1", "2", "3", "8", "1024"])]])]
    for chance, more in ((0.3, ["--json", "out.jsonl"]), (0.3, ["--write-rows", "rows.py"])):
        options += more if rng.random() < chance else []
    if rng.random() < 0.3 and size < _COPIED:
        options += ["--repair", "repaired"]
    if rng.random() < 0.05:
        options += ["--against", "other"]
    return options


# --- one case ---


def make(rng: random.Random) -> Case:
    """A checkpoint with one to three files changed, words about one, and what is asked for; one in ten unchanged."""
    files = _any_source(rng)
    for _ in range(0 if rng.random() < 0.1 else rng.choice([1, 1, 2, 3])):
        if files:
            _files_changed(rng, files)
    names = [name for blob in files.values() for name, _, _ in _tensors(blob)]
    options = _options(rng, sum(blob.size for blob in files.values()))
    asked = {"said": _said(rng, names) if rng.random() < 0.85 else "", "options": options}
    case: dict[bytes, Entry] = {f"{MODEL}/".encode() + name: blob for name, blob in files.items()}
    case[f"{MODEL}/.kept".encode()] = Blob(b"")
    if "--against" in options:
        case |= {OTHER + name: blob for name, blob in _any_source(rng).items()}
    return Case(case | {ASKED: Blob(json.dumps(asked).encode())}, MODEL)


def judge(case: Case, path: Path, ours: Errors) -> str:
    """`ours` is what the doctor says of the same folder."""
    asked = json.loads((path.parent / ASKED.decode()).read_bytes())
    outputs = ("out.jsonl", "rows.py", "repaired", "other")
    options = [str(path.parent / each) if each in outputs else each for each in asked["options"]]
    said = ["--error", asked["said"]] if asked["said"] else []
    before, began = sorted(path.rglob("*")), time.process_time()
    status, out, err = _run(["diagnose", str(path), *said, *options])
    if time.process_time() - began > SECONDS:
        raise Wrong(f"{time.process_time() - began:.1f} seconds of the processor: {asked}")
    _check(status, out, err)
    _check_outputs(path, sorted(path.rglob("*")) != before)
    if status == 0 and any(code.partition(".")[0] in _OF_FILES for code in ours):
        raise Wrong(f"the doctor finds {ours}, and nothing is wrong: {out[:1000]}"[:2000])
    return ("read by both", "faults are found", "refused by us")[status]


def _run(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), bounded(MEMORY + MEMORY // 4):
        status = cli.main(arguments)
    return status, out.getvalue(), err.getvalue()


def _check(status: int, out: str, err: str) -> None:
    told = err.splitlines()
    if status not in (0, 1, 2) or "Traceback" in err or len(told) != (status == 2):
        raise Wrong(f"it ends with {status}, and says on stderr: {err[:1500]}")
    check_lines([line for line in [*told, *out.splitlines()] if line])


def _check_outputs(path: Path, changed: bool) -> None:
    """What was written is whole or not there, and the model is as it was."""
    if changed:
        raise Wrong("files of the model came or went")
    left = [each.name for each in path.parent.iterdir() if each.name.startswith(".")]
    if left:
        raise Wrong(f"left behind: {left}")
    records = path.parent / "out.jsonl"
    for line in records.read_text(encoding="utf-8").splitlines() if records.exists() else ():
        json.loads(line)
