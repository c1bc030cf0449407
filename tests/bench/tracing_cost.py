"""What tracing costs: a real load of more than 1 GB with the recorder that writes a trace, against the same load with
the one that does nothing, in alternation in one process. Claim: at most 3 %.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.loading.sources import MappedWeights
from tracer.checkpoint.weights import map_file
from tracer.prepare import Prepared, Request, prepare
from tracer.recorder import Spool, ViewRecorder

ROUNDS = 41
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 1536, "num_attention_heads": 16, "num_key_value_heads": 4,
    "intermediate_size": 4096, "num_hidden_layers": 24, "vocab_size": 32000, "torch_dtype": "bfloat16",
}  # fmt: skip


def checkpoint(folder: Path) -> Prepared:
    """A Llama-shaped checkpoint of 1.2 GB in bf16."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shapes = {t.name: t.shape for t in prepare(Request(str(folder), plan_only=True)).infos}
    save_file({n: torch.randn(s).to(torch.bfloat16) for n, s in shapes.items()}, folder / "model.safetensors")
    return prepare(Request(str(folder)))


def load(prepared: Prepared, params: dict[str, torch.Tensor], notes: Path | None = None) -> float:
    """Seconds for one load into parameters that exist already, so that page faults of fresh memory do not count.

    With `notes`, every copy is noted and written there, as a rank's process does it.
    """
    source = MappedWeights(prepared.folder, prepared.infos, map_file)
    start = time.perf_counter()
    if notes is None:
        Loader(prepared.plan, 0, source, NullRecorder()).load(params)
    else:
        with Spool(notes) as spool:
            Loader(prepared.plan, 0, source, ViewRecorder(spool, spool.flush)).load(params)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = checkpoint(folder)
        params = build(prepared.plan, 0).params
        load(prepared, params)
        plain: list[float] = []
        traced: list[float] = []
        for _ in range(ROUNDS):
            plain.append(load(prepared, params))
            traced.append(load(prepared, params, folder / f"notes{len(traced)}"))
    size = sum(info.nbytes for info in prepared.infos) / 1e9
    without, with_ = statistics.median(plain), statistics.median(traced)
    print(f"load of {size:.2f} GB, {len(prepared.infos)} tensors, medians of {ROUNDS} rounds each in alternation")
    print(f"without tracing {without * 1e3:.1f} ms ({size / without:.1f} GB/s), best {min(plain) * 1e3:.1f} ms")
    print(f"with tracing    {with_ * 1e3:.1f} ms ({size / with_:.1f} GB/s), best {min(traced) * 1e3:.1f} ms")
    print(f"ratio {with_ / without:.4f} (claim: at most 1.03)")


if __name__ == "__main__":
    main()
