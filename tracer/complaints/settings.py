"""With what an engine was started, from its own start-up lines and from command lines that a log repeats."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tracer.complaints.complaint import Program
from tracer.complaints.tracebacks import Frame

_OPTIONS = {
    spelling: setting
    for setting, spellings in {
        "tensor_parallel_size": ("tensor_parallel_size", "tp_size", "tp", "num_shard"),
        "pipeline_parallel_size": ("pipeline_parallel_size", "pp_size", "pp"),
        "data_parallel_size": ("data_parallel_size", "dp_size", "dp"),
        "dtype": ("dtype", "torch_dtype"),
        "quantization": ("quantization", "quantize", "q"),
        "load_format": ("load_format",),
        "kv_cache_dtype": ("kv_cache_dtype",),
        "max_model_len": ("max_model_len",),
        "model": ("model", "model_path", "model_id", "model_tag"),
    }.items()
    for spelling in spellings
}
"""Spelling -> the one name that a setting has here (vLLM's)."""
_ASSIGNED = re.compile(
    r"(?<![\w.-])['\"]?(?P<name>"
    + "|".join(name for name in _OPTIONS if len(name) > 2 or name == "tp")
    + r")['\"]?\s?[=:]\s?(?:Some\()?"
    r"(?P<value>'[^'\n]{0,300}'|\"[^\"\n]{0,300}\"|[\w./:@-]{1,300})"
)
_OPTION = re.compile(
    r"(?<!\S)--?(?P<name>[a-z][a-z_-]{0,40})(?:=| +)"
    r"(?P<value>'[^'\n]{1,300}'|\"[^\"\n]{1,300}\"|[^\s'\"-][^\s'\"]{0,300})"
)
_SERVED = re.compile(r"\bvllm serve (?P<model>[^\s-]\S{0,300})")
_START_UP: tuple[tuple[Program, tuple[str, ...]], ...] = (
    ("vllm", ("LLM engine (v", "vLLM API server version", "non-default args", "vllm serve", "vllm.entrypoints")),
    ("sglang", ("server_args=", "sglang.launch_server")),
    ("tgi", ("text-generation-launcher", "text_generation_launcher")),
    (
        "llama.cpp",
        ("llama_model_load", "llama_load_model", "gguf_init_from", "llama-server", "llama-cli", "hf-to-gguf"),
    ),
)
"""Words of a program's first lines."""
_VERSION = re.compile(
    r"LLM engine \(v(?P<a>[\w.+-]{1,60}?)\)|API server version (?P<b>[\w.+-]{1,60})"
    r"|\bvLLM version[: ]+(?P<c>[\w.+-]{1,60})"
    r"|\bbuild: (?P<d>\d+ \(\w+\))|\bsglang(?:==| version[: ]+)(?P<e>[\d][\w.+-]{1,60})"
)
_PATHS: tuple[tuple[str, Program], ...] = (
    ("/vllm/", "vllm"), ("/sglang/", "sglang"), ("/text_generation_server/", "tgi"),
    ("convert_hf_to_gguf", "llama.cpp"), ("/llama.cpp/", "llama.cpp"), ("/transformers/", "transformers"),
    ("/safetensors/", "safetensors"), ("/torch/", "torch"),
)  # fmt: skip
_OPTION_WORDS = ("--tensor-parallel-size", "--tp", "-tp ", "--dtype", "--quantization", "--load-format", "--num-shard")
NEEDLES = (*(word for _, words in _START_UP for word in words), *_OPTION_WORDS)
_LIMIT = 20_000


class Settings:
    """What a start-up line says; the first to say it is right, since later lines quote requests."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.program: Program = ""
        self.version = ""

    def read(self, text: str) -> None:
        """Take in a line, if it is one of those."""
        if not [word for word in NEEDLES if word in text]:
            return
        programs = (program for program, words in _START_UP if any(word in text for word in words))
        self.program = self.program or next(programs, "")
        text = text[:_LIMIT]
        version = _VERSION.search(text)
        if version and not self.version:
            self.version = next(filter(None, version.groups()))
        for match in (*_ASSIGNED.finditer(text), *_OPTION.finditer(text), *_SERVED.finditer(text)):
            self._set(match)

    def _set(self, match: re.Match[str]) -> None:
        groups = match.groupdict()
        name, value = ("model", groups["model"]) if "model" in groups else (groups["name"], groups["value"])
        setting = _OPTIONS.get(name.replace("-", "_"))
        value = value.strip("'\"").removeprefix("torch.").rstrip(",;")
        if setting and value not in ("None", "null", ""):
            self.found.setdefault(setting, value)

    def seen_in(self, frames: Sequence[Frame]) -> None:
        """Whose code a traceback went through, where no start-up line has said it."""
        if self.program:
            return
        for part, program in _PATHS:
            if any(part in frame.path for frame in frames):
                self.program = program
                return
