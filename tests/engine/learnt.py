"""Small models that know a text by heart, as Transformers trains them.

A random model's two likeliest tokens are often as likely as rounding can tell, so it cannot say what a narrow type may
change. One that has learnt is sure of its next token, and only by what it has seen before, near and far: each of the
text's tokens stands in it in several places, with other ones behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.opened import Opened
from engine.parallel import ALONE, Group
from engine.serving.engine import Engine
from engine.serving.serve import Settings, make_engine
from tests.engine.checkpoints import SIZES, VOCABULARY, Checkpoint, Family, bind

POSITIONS = 384
"""Predictions in the text: more than a block of the GPU's cache."""
KNOWN = 0.02
"""Nats a token from which on the text is known."""
_WIDE = {"hidden_size": 128, "intermediate_size": 256, "max_position_embeddings": 512}
FAMILIES = {
    "llama": Family("LlamaForCausalLM", SIZES | _WIDE),
    "mistral": Family("MistralForCausalLM", SIZES | _WIDE | {"sliding_window": 50}),
    "qwen3": Family("Qwen3ForCausalLM", SIZES | _WIDE | {"head_dim": 32}),
    "mixtral": Family("MixtralForCausalLM", SIZES | _WIDE | {"num_local_experts": 4, "num_experts_per_tok": 2}),
}
NAMES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}


def text() -> list[int]:
    """One token more than there are predictions."""
    return torch.randint(3, VOCABULARY, (POSITIONS + 1,), generator=torch.Generator().manual_seed(1)).tolist()


def learn(family: str, folder: Path) -> None:
    """Train the family's model, and save it in float32."""
    import transformers

    cls = getattr(transformers, FAMILIES[family].model)
    torch.manual_seed(0)
    model = cls(cls.config_class(**FAMILIES[family].config))
    ids = torch.tensor(text())
    steps = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    for _ in range(400):
        loss = F.cross_entropy(model(ids[None, :-1]).logits[0], ids[1:])
        if loss.item() < KNOWN:
            break
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert loss.item() < KNOWN, f"{family} has not learnt its text: {loss.item()}"
    model.save_pretrained(folder)


def rounded(folder: Path, into: Path, dtype: torch.dtype) -> Path:
    """The checkpoint in a narrower type."""
    _loaded(folder, dtype).save_pretrained(into)
    return into


def _loaded(folder: Path, dtype: torch.dtype) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()


@torch.no_grad()
def of_transformers(folder: Path, dtype: torch.dtype, device: str) -> Tensor:
    """Logits (positions, vocab) float32 on the CPU, of the folder's values computed with in a type."""
    ids = torch.tensor([text()[:-1]], device=device)
    logits: Tensor = _loaded(folder, dtype).to(device)(ids).logits[0].float().cpu()
    return logits


def engine_on(
    folder: Path, dtype: torch.dtype, settings: Settings, tp: int = 1, rank: int = 0, group: Group = ALONE
) -> Engine:  # fmt: skip
    """Our engine on the folder's checkpoint, which is of this type."""
    with Checkpoint(folder) as checkpoint:
        made = bind(checkpoint.config, tp, checkpoint.header, NAMES[dtype])
        return make_engine(Opened(made, checkpoint, folder), settings, rank, group)


def learnt_of(prompts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """What must come behind beginnings of the text."""
    return [text()[len(prompt) : len(prompt) + count] for prompt in prompts]
