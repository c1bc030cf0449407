"""The architectures, by the name that config.json gives them. A family a file; each is a list of rows."""

from __future__ import annotations

from mappings.architectures import bloom, deepseek, falcon, gguf, gpt2, gpt_oss, jamba, llama, mamba, mixtral
from mappings.rows import Architecture

BUILT_IN: tuple[Architecture, ...] = (
    llama.LLAMA, llama.MISTRAL, llama.QWEN2, llama.QWEN3, llama.PHI3, mixtral.MIXTRAL, mixtral.MIXTRAL_STACKED,
    gpt2.GPT2, bloom.BLOOM, falcon.FALCON, deepseek.DEEPSEEK_V2, deepseek.DEEPSEEK_V3, gpt_oss.GPT_OSS,
    mamba.MAMBA, mamba.MAMBA2, jamba.JAMBA, gguf.LLAMA, gguf.MISTRAL, gguf.QWEN2, gguf.QWEN3, gguf.MIXTRAL,
    gguf.MIXTRAL_PER_EXPERT,
)  # fmt: skip
