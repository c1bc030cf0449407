"""Small language models with the statistics of trained ones: three families, any number of seeds.

    python tests/data/train.py --out DIR [--families llama qwen3 gemma2] [--seeds 0 20] [--steps 500]

Bytes of the standard library's own sources are predicted, so that attention must use positions; a model takes about
a minute on one core. Each is saved as Transformers saves it, in bfloat16, under DIR/FAMILY-SEED, with its losses in
`training.json`. Seeds fix the first weights and the order of the text, not the last bits: they depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

_SIZES = {
    "vocab_size": 128, "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 24, "max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 0,
    "pad_token_id": None,
}  # fmt: skip
_LENGTH, _BATCH, _PEAK = 128, 8, 3e-3
_TEXT = 6_000_000
"""Bytes of source text."""


def model(family: str) -> PreTrainedModel:
    """With first weights from torch's generator; q_proj and o_proj are square, as transposing one needs."""
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**_SIZES, tie_word_embeddings=False))
    if family == "qwen2":
        sizes = {name: value for name, value in _SIZES.items() if name != "head_dim"}
        return Qwen2ForCausalLM(Qwen2Config(**sizes, tie_word_embeddings=True))
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**_SIZES, tie_word_embeddings=True))
    return Gemma2ForCausalLM(Gemma2Config(**_SIZES, query_pre_attn_scalar=24, sliding_window=64))


def text() -> torch.Tensor:
    """ASCII of the modules of the standard library, in the order of their names: [bytes], int64."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    read = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    codes = np.frombuffer(read[:_TEXT], np.uint8)
    return torch.from_numpy(codes[codes < 128].astype(np.int64))


def batches(seed: int, steps: int) -> Iterator[torch.Tensor]:
    """[_BATCH, _LENGTH] at random places of the text."""
    told, places = text(), np.random.default_rng(seed)
    for _ in range(steps):
        starts = places.integers(0, len(told) - _LENGTH, _BATCH)
        yield torch.stack([told[start : start + _LENGTH] for start in starts.tolist()])


def train(family: str, seed: int, steps: int, into: Path) -> None:
    torch.manual_seed(seed)
    learner = model(family)
    learner.train()
    decayed = [each for each in learner.parameters() if each.ndim > 1]
    plain = [each for each in learner.parameters() if each.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=_PEAK, betas=(0.9, 0.95), fused=True)
    losses, began = [], time.perf_counter()
    for step, batch in enumerate(batches(seed, steps)):
        rate = _PEAK * min(1.0, (step + 1) / 40) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = learner(batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    folder = into / f"{family}-{seed}"
    learner.to(torch.bfloat16).save_pretrained(folder)
    told = {"seed": seed, "steps": steps, "first": losses[0], "last": sum(losses[-20:]) / 20}
    (folder / "training.json").write_text(json.dumps(told | {"seconds": round(time.perf_counter() - began, 1)}) + "\n")
    print(folder.name, told, f"{time.perf_counter() - began:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["llama", "qwen3", "gemma2"])
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FIRST", "STOP"))
    parser.add_argument("--steps", type=int, default=500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(*asked.seeds):
        for family in asked.families:
            if not (asked.out / f"{family}-{seed}" / "training.json").exists():
                train(family, seed, asked.steps, asked.out)


if __name__ == "__main__":
    main()
