"""H: which files belong to the model."""

from __future__ import annotations

from tests.catalogue.building import Model
from tests.catalogue.case import Case
from tests.catalogue.folders import INDEX, Folder, beside, shard, shards, whole, without
from tests.catalogue.models import decoder, gpt_oss, qwen3

_META = {
    "model.embed_tokens.weight": "tok_embeddings.weight", "model.norm.weight": "norm.weight",
    "lm_head.weight": "output.weight",
}  # fmt: skip
_META_PARTS = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def mistral(layers: int) -> Model:
    return decoder(layers, model_type="mistral", architecture="MistralForCausalLM")


def in_meta_names(model: Model) -> Model:
    """The same tensors as Meta and Mistral call them."""

    def renamed(name: str) -> str:
        for ours, theirs in _META_PARTS.items():
            name = name.replace(ours, theirs)
        return _META.get(name, name.removeprefix("model."))

    return model.rename(renamed)


def two_copies(layers: int, count: int, said: str) -> Case:
    def make() -> Folder:
        files = shards(mistral(layers), count) if count > 1 else whole(mistral(layers))
        return Folder([files, whole(in_meta_names(mistral(layers)), "consolidated.safetensors")])

    return Case(
        "H1", f"mistral-{layers}-{count}", make, said, "shards.second-copy", "consolidated.safetensors",
        (f"{count} files" if count > 1 else "1 file", f"{9 * layers + 3} tensors", "twice"),
        sound=lambda: Folder([shards(mistral(layers), count)]),
    )  # fmt: skip


def other_formats(layers: int, *more: str) -> Case:
    """What is fetched and never used."""

    def make() -> Folder:
        model = gpt_oss(layers)
        return Folder([shards(model, 3), *(whole(model, file) if file.endswith("safetensors") else
                       beside(file, bytes(range(1, 255)) * 16) for file in more)])  # fmt: skip

    return Case(
        "H2", f"gpt-oss-{layers}-{len(more)}", make, "", "shards.second-copy",
        "original/" if len(more) == 1 else "metal/", ("more than once", "original/"), severity="info",
        sound=lambda: Folder([shards(gpt_oss(layers), 3)]),
    )  # fmt: skip


def absent_shard(layers: int, count: int, gone: int, said: str = "The server boots and answers garbage") -> Case:
    file = shard(gone, count)
    return Case(
        "H3", f"{gone}-of-{count}", lambda: Folder([shards(decoder(layers), count), without(file)]), said,
        "index.missing-file", file, (f"{count} files", "1 of them missing", file, "layers"), alone="same",
        sound=lambda: Folder([shards(decoder(layers), count)]),
    )  # fmt: skip


def promised(layers: int, count: int, name: str) -> Case:
    def listed(homes: dict[str, str]) -> dict[str, str]:
        return {**homes, name: shard(count, count)}

    return Case(
        "H4", f"{name}-{count}", lambda: Folder([shards(qwen3(layers=layers), count, listed=listed)]),
        f"safetensors_rust.SafetensorError: File does not contain tensor {name}",
        "index.missing-tensor", name, (shard(count, count), "index"), alone="same",
        sound=lambda: Folder([shards(qwen3(layers=layers), count)]),
    )  # fmt: skip


def stale(layers: int, had: int, has: int, said: str) -> Case:
    """The index was written for another number of files; what is here is all of the model."""

    def listed(homes: dict[str, str]) -> dict[str, str]:
        names = list(homes)
        return {name: shard(1 + at * had // len(names), had) for at, name in enumerate(names)}

    return Case(
        "H5", f"stale-{had}-{has}", lambda: Folder([shards(decoder(layers), has, listed=listed)]),
        said.format(shard(had - 1, had)), "index.missing-file", INDEX,
        (f"none of the {had} files", shard(1, has), "headers hold all of its tensors", "write the index anew"),
        alone="same",
        sound=lambda: Folder([shards(decoder(layers), has)]), before=lambda: Folder([shards(decoder(layers), has)]),
    )  # fmt: skip


def unmentioned(layers: int, count: int, first: int, home: int) -> Case:
    """The index lacks tensors that the files have."""

    def listed(homes: dict[str, str]) -> dict[str, str]:
        return {name: file for name, file in homes.items() if f"layers.{first}." not in name}

    return Case(
        "H5", f"unlisted-{layers}-{first}", lambda: Folder([shards(decoder(layers), count, listed=listed)]),
        "ValueError: Following weights were not initialized from checkpoint:"
        f" {{'model.layers.{first}.mlp.down_proj.weight'}}",
        "index.unlisted-tensor", shard(home, count), ("9 tensors", "never read"), alone="same", severity="warning",
        sound=lambda: Folder([shards(decoder(layers), count)]), before=lambda: Folder([shards(decoder(layers), count)]),
        still=True,
    )  # fmt: skip


def layers_gone(layers: int, held: int) -> Case:
    def make() -> Model:
        return decoder(layers).drop(lambda name: any(f"layers.{at}." in name for at in range(held, layers)))

    return Case(
        "H6", f"tgi-{held}-of-{layers}", make,
        f"RuntimeError: weight model.layers.{held}.mlp.gate_proj.weight does not exist",
        "layers.missing", f"layers {held}..{layers - 1}",
        (f"num_hidden_layers = {layers}", f"{held} layers are in the headers"), alone="unasked",
        sound=lambda: decoder(layers),
    )  # fmt: skip


CASES = [
    two_copies(4, 3, "KeyError: 'layers.0.attention.wk.weight'"),
    two_copies(3, 2, "(RayWorkerWrapper pid=71) ERROR KeyError: 'layers.2.attention.wq.weight'"),
    two_copies(5, 2, "KeyError: 'layers.60.mlp.gate_up_proj.weight'"),
    two_copies(4, 1, "KeyError: 'layers.0.attention.wo.weight'"),
    other_formats(3, "original/model.safetensors", "metal/model.bin"), other_formats(4, "original/model.safetensors"),
    absent_shard(8, 12, 7), absent_shard(6, 4, 4), absent_shard(5, 3, 1, "gibberish"),
    promised(4, 3, "mtp.fc.weight"), promised(5, 2, "model.layers.5.mlp.up_proj.weight"),
    stale(6, 5, 2, "FileNotFoundError: No such file or directory: \"/models/x/{}\""),
    stale(4, 30, 15, "OSError: /models/x does not appear to have a file named {}"),
    unmentioned(4, 2, 3, 2), unmentioned(6, 3, 2, 2),
    layers_gone(8, 5), layers_gone(6, 2),
]  # fmt: skip
