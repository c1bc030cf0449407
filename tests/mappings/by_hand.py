"""What a rank's parameters are, said once more in numpy, architecture by architecture, without the mapping language.

Knows names and shapes of checkpoints and of vLLM's parameters; knows nothing of layouts, parts or cuts. Scales of FP8
blocks go the way of their weights, as the blocks lie within the ranks' shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fixtures.gguf_models import NAMES, in_halves

Ids: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Named: TypeAlias = Iterator[tuple[str, Ids]]
Fields: TypeAlias = Mapping[str, Any]

LEAVES = ("weight", "bias", "weight_scale_inv")


@dataclass(frozen=True)
class Rank:
    """One rank's hands on a checkpoint."""

    tensors: Mapping[str, Ids]
    tp: int
    rank: int

    def cut(self, array: Ids, axis: int = 0) -> Ids:
        return np.split(array, self.tp, axis)[self.rank]

    def heads(self, array: Ids, heads: int) -> Ids:
        """This rank's heads among the rows; where there are fewer heads than ranks, one that others hold too."""
        if self.tp <= heads:
            return self.cut(array)
        if self.tp % heads:
            raise ValueError(f"{self.tp} ranks cannot hold {heads} heads equally often")
        return np.split(array, heads)[self.rank * heads // self.tp]

    def table(self, array: Ids) -> Ids:
        missing = -len(array) % 64
        return self.cut(np.concatenate([array, np.zeros((missing, *array.shape[1:]), dtype=np.int64)]))

    def leaves(self, module: str) -> Iterator[tuple[str, Ids]]:
        for leaf in LEAVES:
            if f"{module}.{leaf}" in self.tensors:
                yield leaf, self.tensors[f"{module}.{leaf}"]

    def whole(self, param: str, module: str | None = None) -> Named:
        for leaf, array in self.leaves(module or param):
            yield f"{param}.{leaf}", array

    def column(self, param: str, *modules: str) -> Named:
        """Modules cut along their outputs, one below the other."""
        for leaf, _ in self.leaves(modules[0]):
            yield f"{param}.{leaf}", np.concatenate([self.cut(self.tensors[f"{m}.{leaf}"]) for m in modules])

    def row(self, param: str, module: str | None = None) -> Named:
        """A module cut along its inputs; its bias is whole."""
        for leaf, array in self.leaves(module or param):
            yield f"{param}.{leaf}", array if leaf == "bias" else self.cut(array, 1)

    def vocabulary(self, param: str, module: str | None = None) -> Named:
        for leaf, array in self.leaves(module or param):
            yield f"{param}.{leaf}", self.table(array)

    def qkv(self, param: str, prefix: str, kv: int) -> Named:
        for leaf, q in self.leaves(f"{prefix}.q_proj"):
            k, v = (self.heads(self.tensors[f"{prefix}.{x}_proj.{leaf}"], kv) for x in "kv")
            yield f"{param}.{leaf}", np.concatenate([self.cut(q), k, v])

    def experts(self, param: str, module: str, gate: str, up: str, down: str, number: int) -> Named:
        """One tensor an expert on disk, one a layer in the engine."""
        for leaf, _ in self.leaves(f"{module}.0.{gate}"):
            one = [[self.tensors[f"{module}.{e}.{name}.{leaf}"] for name in (gate, up, down)] for e in range(number)]
            yield f"{param}.w13_{leaf}", np.stack([np.concatenate([self.cut(g), self.cut(u)]) for g, u, _ in one])
            yield f"{param}.w2_{leaf}", np.stack([self.cut(d, 1) for _, _, d in one])


def llama(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("model.embed_tokens")
    yield from r.whole("model.norm")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        yield from llama_attention(c, r, layer)
        yield from r.column(f"{layer}.mlp.gate_up_proj", f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj")
        yield from r.row(f"{layer}.mlp.down_proj")


def llama_attention(c: Fields, r: Rank, layer: str) -> Named:
    for norm in ("input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"):
        yield from r.whole(f"{layer}.{norm}")
    yield from r.qkv(f"{layer}.self_attn.qkv_proj", f"{layer}.self_attn", c["num_key_value_heads"])
    yield from r.row(f"{layer}.self_attn.o_proj")


def phi3(c: Fields, r: Rank) -> Named:
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    apart = dict(r.tensors)
    for i in range(c["num_hidden_layers"]):
        attention, mlp = f"model.layers.{i}.self_attn", f"model.layers.{i}.mlp"
        fused = apart.pop(f"{attention}.qkv_proj.weight")
        for name, part in zip("qkv", np.split(fused, [q, q + kv]), strict=True):
            apart[f"{attention}.{name}_proj.weight"] = part
        gate, up = np.split(apart.pop(f"{mlp}.gate_up_proj.weight"), 2)
        apart |= {f"{mlp}.gate_proj.weight": gate, f"{mlp}.up_proj.weight": up}
    yield from llama(c, Rank(apart, r.tp, r.rank))


def mixtral(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("model.embed_tokens")
    yield from r.whole("model.norm")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        moe = f"{layer}.block_sparse_moe"
        yield from llama_attention(c, r, layer)
        if f"{layer}.mlp.gate.weight" in r.tensors:
            yield from r.whole(f"{moe}.gate", f"{layer}.mlp.gate")
            gate, up = np.split(r.tensors[f"{layer}.mlp.experts.gate_up_proj"], 2, axis=1)
            w13 = np.concatenate([r.cut(gate, 1), r.cut(up, 1)], axis=1)
            yield f"{moe}.experts.routed_experts.w13_weight", w13
            yield f"{moe}.experts.routed_experts.w2_weight", r.cut(r.tensors[f"{layer}.mlp.experts.down_proj"], 2)
        else:
            yield from r.whole(f"{moe}.gate")
            number = c["num_local_experts"]
            yield from r.experts(f"{moe}.experts.routed_experts", f"{moe}.experts", "w1", "w3", "w2", number)


def gpt2(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("transformer.wte", "wte")
    yield from r.whole("transformer.wpe", "wpe")
    yield from r.whole("transformer.ln_f", "ln_f")
    for i in range(c["n_layer"]):
        disk, engine = f"h.{i}", f"transformer.h.{i}"
        yield from r.whole(f"{engine}.ln_1", f"{disk}.ln_1")
        yield from r.whole(f"{engine}.ln_2", f"{disk}.ln_2")
        weight, bias = r.tensors[f"{disk}.attn.c_attn.weight"].T, r.tensors[f"{disk}.attn.c_attn.bias"]
        yield f"{engine}.attn.c_attn.weight", np.concatenate([r.cut(part) for part in np.split(weight, 3)])
        yield f"{engine}.attn.c_attn.bias", np.concatenate([r.cut(part) for part in np.split(bias, 3)])
        yield f"{engine}.mlp.c_fc.weight", r.cut(r.tensors[f"{disk}.mlp.c_fc.weight"].T)
        yield f"{engine}.mlp.c_fc.bias", r.cut(r.tensors[f"{disk}.mlp.c_fc.bias"])
        for module in ("attn.c_proj", "mlp.c_proj"):
            yield f"{engine}.{module}.weight", r.cut(r.tensors[f"{disk}.{module}.weight"].T, 1)
            yield f"{engine}.{module}.bias", r.tensors[f"{disk}.{module}.bias"]


def bloom(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("transformer.word_embeddings", "word_embeddings")
    yield from r.whole("transformer.word_embeddings_layernorm", "word_embeddings_layernorm")
    yield from r.whole("transformer.ln_f", "ln_f")
    for i in range(c["n_layer"]):
        disk, engine = f"h.{i}", f"transformer.h.{i}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield from r.whole(f"{engine}.{norm}", f"{disk}.{norm}")
        for leaf, fused in r.leaves(f"{disk}.self_attention.query_key_value"):
            heads = r.cut(fused.reshape(c["n_head"], 3, -1, *fused.shape[1:]))
            parts = [heads[:, k].reshape(-1, *fused.shape[1:]) for k in range(3)]
            yield f"{engine}.self_attention.query_key_value.{leaf}", np.concatenate(parts)
        yield from r.row(f"{engine}.self_attention.dense", f"{disk}.self_attention.dense")
        yield from r.column(f"{engine}.mlp.dense_h_to_4h", f"{disk}.mlp.dense_h_to_4h")
        yield from r.row(f"{engine}.mlp.dense_4h_to_h", f"{disk}.mlp.dense_4h_to_h")


def falcon(c: Fields, r: Rank) -> Named:
    heads, kv = c["num_attention_heads"], c["num_kv_heads"]
    yield from r.vocabulary("transformer.word_embeddings", "word_embeddings")
    yield from r.whole("transformer.ln_f", "ln_f")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        disk, engine = f"h.{i}", f"transformer.h.{i}"
        for norm in ("ln_attn", "ln_mlp", "input_layernorm"):
            yield from r.whole(f"{engine}.{norm}", f"{disk}.{norm}")
        for leaf, fused in r.leaves(f"{disk}.self_attention.query_key_value"):
            dim = c["hidden_size"] // heads
            groups = fused.reshape(kv, heads // kv + 2, dim, *fused.shape[1:])
            q, k, v = groups[:, :-2], groups[:, -2], groups[:, -1]
            rows = [part.reshape(-1, *fused.shape[1:]) for part in (q, k, v)]
            own = [r.cut(rows[0]), r.heads(rows[1], kv), r.heads(rows[2], kv)]
            yield f"{engine}.self_attention.query_key_value.{leaf}", np.concatenate(own)
        yield from r.row(f"{engine}.self_attention.dense", f"{disk}.self_attention.dense")
        yield from r.column(f"{engine}.mlp.dense_h_to_4h", f"{disk}.mlp.dense_h_to_4h")
        yield from r.row(f"{engine}.mlp.dense_4h_to_h", f"{disk}.mlp.dense_4h_to_h")


def deepseek(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("model.embed_tokens")
    yield from r.whole("model.norm")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield from r.whole(f"{layer}.{norm}")
        for norm in ("q_a_layernorm", "kv_a_layernorm"):
            yield from r.whole(f"{attention}.{norm}")
        if c["q_lora_rank"]:
            for leaf, q_a in r.leaves(f"{attention}.q_a_proj"):
                kv_a = r.tensors[f"{attention}.kv_a_proj_with_mqa.{leaf}"]
                yield f"{attention}.fused_qkv_a_proj.{leaf}", np.concatenate([q_a, kv_a])
        else:
            yield from r.whole(f"{attention}.kv_a_proj_with_mqa")
        for module in ("q_proj", "q_b_proj", "kv_b_proj"):
            yield from r.column(f"{attention}.{module}", f"{attention}.{module}")
        yield from r.row(f"{attention}.o_proj")
        yield from deepseek_experts(c, r, mlp) if i >= c["first_k_dense_replace"] else gated(r, mlp)


def gated(r: Rank, mlp: str) -> Named:
    yield from r.column(f"{mlp}.gate_up_proj", f"{mlp}.gate_proj", f"{mlp}.up_proj")
    yield from r.row(f"{mlp}.down_proj")


def deepseek_experts(c: Fields, r: Rank, mlp: str) -> Named:
    yield from r.whole(f"{mlp}.gate")
    correction = f"{mlp}.gate.e_score_correction_bias"
    if correction in r.tensors:
        yield correction, r.tensors[correction]
    yield from gated(r, f"{mlp}.shared_experts")
    names = ("gate_proj", "up_proj", "down_proj")
    yield from r.experts(f"{mlp}.experts.routed_experts", f"{mlp}.experts", *names, c["n_routed_experts"])


def gpt_oss(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("model.embedding", "model.embed_tokens")
    yield from r.whole("model.norm")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        experts = f"{layer}.mlp.experts"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield from r.whole(f"{layer}.{norm}")
        yield f"{layer}.attn.sinks", r.cut(r.tensors[f"{layer}.self_attn.sinks"])
        yield from r.qkv(f"{layer}.attn.qkv_proj", f"{layer}.self_attn", c["num_key_value_heads"])
        yield from r.row(f"{layer}.attn.o_proj", f"{layer}.self_attn.o_proj")
        yield from r.whole(f"{layer}.mlp.router")
        yield f"{experts}.routed_experts.w13_weight", r.cut(r.tensors[f"{experts}.gate_up_proj"], 2).transpose(0, 2, 1)
        yield f"{experts}.routed_experts.w13_bias", r.cut(r.tensors[f"{experts}.gate_up_proj_bias"], 1)
        yield f"{experts}.routed_experts.w2_weight", r.cut(r.tensors[f"{experts}.down_proj"], 1).transpose(0, 2, 1)
        bias = r.tensors[f"{experts}.down_proj_bias"]
        yield f"{experts}.routed_experts.w2_bias", bias if r.rank == 0 else np.zeros_like(bias)


def mamba_mixer(r: Rank, mixer: str) -> Named:
    yield f"{mixer}.A", r.cut(r.tensors[f"{mixer}.A_log"])
    yield f"{mixer}.D", r.cut(r.tensors[f"{mixer}.D"])
    yield from r.column(f"{mixer}.conv1d", f"{mixer}.conv1d")
    for leaf, fused in r.leaves(f"{mixer}.in_proj"):
        yield f"{mixer}.in_proj.{leaf}", np.concatenate([r.cut(half) for half in np.split(fused, 2)])
    yield from r.row(f"{mixer}.x_proj")
    yield from r.column(f"{mixer}.dt_proj", f"{mixer}.dt_proj")
    yield from r.row(f"{mixer}.out_proj")


def mamba(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("backbone.embeddings")
    yield from r.whole("backbone.norm_f")
    for i in range(c["num_hidden_layers"]):
        yield from r.whole(f"backbone.layers.{i}.norm")
        yield from mamba_mixer(r, f"backbone.layers.{i}.mixer")


def mamba2(c: Fields, r: Rank) -> Named:
    inner, groups, states = c["num_heads"] * c["head_dim"], c["n_groups"], c["n_groups"] * c["state_size"]

    def sections(fused: Ids, sizes: list[int], shared: set[int]) -> Ids:
        parts = np.split(fused, np.cumsum(sizes)[:-1])
        return np.concatenate([p if k in shared and groups == 1 else r.cut(p) for k, p in enumerate(parts)])

    yield from r.vocabulary("backbone.embeddings")
    yield from r.whole("backbone.norm_f")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        mixer = f"backbone.layers.{i}.mixer"
        yield from r.whole(f"backbone.layers.{i}.norm")
        yield f"{mixer}.A", r.cut(r.tensors[f"{mixer}.A_log"])
        for name in ("D", "dt_bias", "norm.weight"):
            yield f"{mixer}.{name}", r.cut(r.tensors[f"{mixer}.{name}"])
        for leaf, fused in r.leaves(f"{mixer}.conv1d"):
            yield f"{mixer}.conv1d.{leaf}", sections(fused, [inner, states, states], {1, 2})
        for leaf, fused in r.leaves(f"{mixer}.in_proj"):
            sizes = [inner, inner, states, states, c["num_heads"]]
            yield f"{mixer}.in_proj.{leaf}", sections(fused, sizes, {2, 3})
        yield from r.row(f"{mixer}.out_proj")


def jamba(c: Fields, r: Rank) -> Named:
    yield from r.vocabulary("model.embed_tokens")
    yield from r.whole("model.final_layernorm")
    yield from r.vocabulary("lm_head")
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        ff, mixer = f"{layer}.feed_forward", f"{layer}.mamba"
        for norm in ("input_layernorm", "pre_ff_layernorm"):
            yield from r.whole(f"{layer}.{norm}")
        if i % c["attn_layer_period"] == c["attn_layer_offset"]:
            yield from r.qkv(f"{layer}.qkv_proj", f"{layer}.self_attn", c["num_key_value_heads"])
            yield from r.row(f"{layer}.o_proj", f"{layer}.self_attn.o_proj")
        else:
            yield from mamba_mixer(r, mixer)
            for norm in ("dt_layernorm", "b_layernorm", "c_layernorm"):
                yield from r.whole(f"{mixer}.{norm}")
        if i % c["expert_layer_period"] == c["expert_layer_offset"]:
            yield from r.whole(f"{ff}.router")
            names = ("gate_proj", "up_proj", "down_proj")
            yield from r.experts(f"{ff}.experts.routed_experts", f"{ff}.experts", *names, c["num_experts"])
        else:
            yield from gated(r, ff)


def hub_names(c: Fields, tensors: Mapping[str, Ids]) -> Mapping[str, Ids]:
    """A checkpoint in GGUF as the Hub would have it: names, and the rows of q and k where they were reordered."""
    if "token_embd.weight" not in tensors:
        return tensors
    known = {gguf: hub for hub, gguf in NAMES.items()}
    in_order = c["architectures"][0].startswith("Qwen")
    found: dict[str, Ids] = {}
    for name, array in tensors.items():
        module, leaf = name.rsplit(".", 1)
        segments = module.split(".")
        numbers = [s for s in segments if s.isdigit()]
        template = ".".join("{}" if s.isdigit() else s for s in segments)
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(segments[-1])
        if heads and not in_order:
            array = in_halves(array, c[heads])
        if template.endswith("_exps"):
            one = known[f"{template.removesuffix('_exps')}.{{}}"]
            found |= {f"{one.format(*numbers, e)}.{leaf}": expert for e, expert in enumerate(array)}
        else:
            found[f"{known[template].format(*numbers)}.{leaf}"] = array
    return found


LOADERS: dict[str, Callable[[Fields, Rank], Named]] = {
    "LlamaForCausalLM": llama, "MistralForCausalLM": llama, "Qwen2ForCausalLM": llama, "Qwen3ForCausalLM": llama,
    "Phi3ForCausalLM": phi3, "MixtralForCausalLM": mixtral, "GPT2LMHeadModel": gpt2, "BloomForCausalLM": bloom,
    "FalconForCausalLM": falcon, "DeepseekV2ForCausalLM": deepseek, "DeepseekV3ForCausalLM": deepseek,
    "GptOssForCausalLM": gpt_oss, "MambaForCausalLM": mamba, "Mamba2ForCausalLM": mamba2, "JambaForCausalLM": jamba,
}  # fmt: skip


def loaded(config: Fields, tensors: Mapping[str, Ids], tp: int, rank: int) -> dict[str, Ids]:
    """Every parameter of a rank."""
    return dict(LOADERS[config["architectures"][0]](config, Rank(hub_names(config, tensors), tp, rank)))
