"""B: a wrong prefix."""

from __future__ import annotations

from tests.catalogue.building import Model
from tests.catalogue.case import Case, Make
from tests.catalogue.models import decoder, mamba2, qk_norms
from tests.catalogue.towers import pixtral, qwen25_vl, siglip, wrapped

LLAMA = ("LlamaForCausalLM", "llama")
"""What a class of somebody's own is like: it has these names and shapes."""


def _count(make: Make, prefix: str) -> int:
    model = make()
    assert isinstance(model, Model)
    return sum(name.startswith(prefix) for name in model.tensors)


def renested(layers: int, blocks: int) -> Case:
    def make() -> Model:
        return qwen25_vl(new=True, layers=layers, blocks=blocks)

    total = _count(make, "model.")
    return Case(
        "B1", f"saved-by-newer-{layers}", make, "KeyError: 'language_model.embed_tokens.weight'",
        "name.rewrite", "model.visual.patch_embed.proj.weight",
        (f"{total} of {total} map", "0 collisions", "model.language_model.", "model.visual", "4.52.4"),
        sound=lambda: decoder(layers), before=lambda: qwen25_vl(new=False, layers=layers, blocks=blocks), still=True,
    )  # fmt: skip


def unnested(layers: int, blocks: int) -> Case:
    def make() -> Model:
        return qwen25_vl(new=False, layers=layers, blocks=blocks)

    total = _count(make, "model.") + _count(make, "visual.")
    return Case(
        "B1", f"published-{layers}", make, "KeyError: 'visual.patch_embed.proj.weight'",
        "name.rewrite", "visual.patch_embed.proj.weight", (f"{total} of {total} map", "0 collisions", "language_model"),
        sound=lambda: decoder(layers), before=lambda: qwen25_vl(new=True, layers=layers, blocks=blocks), still=True,
    )  # fmt: skip


def llava_layout(layers: int) -> Case:
    """The wrappers before Transformers 4.52, met by a table that knows what came after."""
    total = 9 * layers + 3 + 33
    return Case(
        "B6", f"llava-{layers}", lambda: mistral_small(layers),
        "KeyError: 'language_model.model.layers.0.self_attn.q_proj.weight'",
        "name.rewrite", "vision_tower.patch_conv.weight",
        (f"{total} of {total} map", "0 collisions", "model.language_model."), sound=lambda: decoder(layers),
        before=lambda: mistral_small(layers).rename(_nested), still=True,
    )  # fmt: skip


def _nested(name: str) -> str:
    """As Transformers 4.52 and later saves it."""
    if name.startswith("language_model.lm_head."):
        return name.removeprefix("language_model.")
    return f"model.{name.replace('language_model.model.', 'language_model.', 1)}"


def mistral_small(layers: int, architecture: str | None = None) -> Model:
    text = decoder(layers, model_type="mistral", architecture="MistralForCausalLM")
    model = wrapped(text, "Mistral3ForConditionalGeneration", "mistral3", pixtral())
    return model if architecture is None else Model(text.config | {"architectures": [architecture]}).add(model)


def wrapper_kept(layers: int) -> Case:
    text = 9 * layers + 3
    return Case(
        "B2", f"multimodal-config-{layers}", lambda: mistral_small(layers),
        "ValueError: There is no module or parameter named 'language_model' in LlamaForCausalLM",
        "arch.mismatch", "LlamaForCausalLM",
        (f"language_model {text}", "multi_modal_projector 4", "Mistral3ForConditionalGeneration",
         "strip `language_model.`"),
        sound=lambda: decoder(layers),
    )  # fmt: skip


def wrapper_in_text_class(layers: int) -> Case:
    text = 9 * layers + 3
    return Case(
        "B2", f"text-config-{layers}", lambda: mistral_small(layers, "LlamaForCausalLM"),
        "ValueError: There is no module or parameter named 'language_model' in LlamaForCausalLM",
        "name.rewrite", "language_model.model.embed_tokens.weight", (f"{text} of {text} map", "0 collisions"),
        alone="same", sound=lambda: decoder(layers),
        before=lambda: mistral_small(layers, "LlamaForCausalLM").rename(lambda n: n.removeprefix("language_model.")),
        aside=("vision_tower.", "multi_modal_projector."),
    )  # fmt: skip


def headless(layers: int, tied: bool) -> Model:
    model = decoder(layers, tied=True).rename(lambda name: name.removeprefix("model."))
    return model.set(tie_word_embeddings=tied)


def base_saved(layers: int) -> Case:
    total = 9 * layers + 2
    return Case(
        "B3", f"tied-{layers}", lambda: headless(layers, True), "ValueError: Can not map tensor 'embed_tokens.weight'",
        "name.rewrite", "embed_tokens.weight", (f"{total} of {total} map", "put `model.` before"), alone="same",
        sound=lambda: decoder(layers, tied=True), before=lambda: decoder(layers, tied=True),
    )  # fmt: skip


def base_saved_untied(layers: int) -> Case:
    total = 9 * layers + 2
    return Case(
        "B3", f"untied-{layers}", lambda: headless(layers, False),
        "ValueError: Can not map tensor 'embed_tokens.weight'",
        "name.rewrite", "embed_tokens.weight", (f"{total} of {total} map", "put `model.` before"), alone="same",
        before=lambda: decoder(layers, tied=True),
    )  # fmt: skip


def twice(layers: int, times: int) -> Case:
    total = 9 * layers + 3
    return Case(
        "B4", f"{times}-times-{layers}", lambda: decoder(layers).rename(lambda name: "model." * times + name),
        f"KeyError: '{'model.' * times}model.embed_tokens.weight'",
        "name.rewrite", f"{'model.' * times}model.embed_tokens.weight", (f"{total} of {total} map", "strip"),
        alone="same",
        sound=lambda: decoder(layers), before=lambda: decoder(layers),
    )  # fmt: skip


def causal_class(layers: int) -> Model:
    """A multimodal layout under a config of the decoder's class."""
    return decoder_of_it(layers).rename(lambda name: name.replace("model.", "model.language_model.", 1))


def decoder_of_it(layers: int) -> Model:
    text = decoder(layers, model_type="qwen3", architecture="Qwen3ForCausalLM", dim=16)
    for layer in range(layers):
        for norm in ("q_norm", "k_norm"):
            text.put(f"model.layers.{layer}.self_attn.{norm}.weight", 16)
    return text


def nothing_matches(layers: int) -> Case:
    names = ", ".join(f"'model.layers.{n}.self_attn.q_proj.weight'" for n in range(layers))
    total = 11 * layers + 2
    return Case(
        "B5", f"causal-class-{layers}", lambda: causal_class(layers),
        "Some weights of Qwen3ForCausalLM were not initialized from the model checkpoint at ./out and are newly"
        f" initialized: [{names}]",
        "name.rewrite", "model.language_model.embed_tokens.weight", (f"{total} of {total} map",), alone="same",
        before=lambda: decoder_of_it(layers),
    )  # fmt: skip


def nonsense(layers: int) -> Case:
    total = 11 * layers + 2
    return Case(
        "B5", f"only-nonsense-{layers}", lambda: causal_class(layers),
        "the model generates fluent text that is nonsense",
        "name.rewrite", "model.language_model.embed_tokens.weight", (f"{total} of {total} map",), alone="same",
        before=lambda: decoder_of_it(layers),
    )  # fmt: skip


def codestral(layers: int) -> Case:
    model = lambda: mamba2(layers).replace("backbone.", "model.")  # noqa: E731
    total = 9 * layers + 2
    return Case(
        "B6", f"mamba-codestral-{layers}", model,
        "ValueError: There is no module or parameter named 'model' in Mamba2ForCausalLM",
        "name.rewrite", "model.embeddings.weight", (f"{total} of {total} map", "backbone"), alone="same",
        sound=lambda: mamba2(layers), before=lambda: mamba2(layers),
    )  # fmt: skip


def gemma3(layers: int, extra: str) -> Model:
    text = decoder(layers, dim=16, tied=True, model_type="gemma3_text", architecture="Gemma3ForCausalLM")
    for layer in range(layers):
        for norm in ("pre_feedforward_layernorm", "post_feedforward_layernorm"):
            text.put(f"model.layers.{layer}.{norm}.weight", 64)
    qk_norms(text, 16)
    tower = siglip("vision_tower.vision_model")
    tower.put("multi_modal_projector.mm_input_projection_weight", 32, 64)
    tower.put("multi_modal_projector.mm_soft_emb_norm.weight", 32)
    model = wrapped(text, "Gemma3ForConditionalGeneration", "gemma3", tower)
    model.config["vision_config"] |= {"vision_use_head": False}
    model.set(mm_tokens_per_image=4)
    return model.rename(lambda name: extra + name)


def deepspeed_gemma(layers: int) -> Case:
    def make() -> Model:
        return gemma3(layers, "base.")

    total = _count(make, "base.")
    return Case(
        "B6", f"gemma-3-deepspeed-{layers}", make,
        "KeyError: 'language_model.model.embed_tokens.weight'",
        "name.rewrite", "base.vision_tower.vision_model.embeddings.patch_embedding.weight",
        (f"{total} of {total} map", "strip `base.`"), sound=lambda: decoder(layers), before=lambda: gemma3(layers, ""),
    )  # fmt: skip


def inner_head(layers: int, architecture: str) -> Model:
    model = decoder(layers, architecture=architecture, model_type=architecture.removesuffix("ForCausalLM").lower())
    return model.rename(lambda name: f"model.{name}" if name.startswith("lm_head") else name)


def head_too_deep(layers: int) -> Case:
    return Case(
        "B7", f"custom-class-{layers}", lambda: inner_head(layers, "OwnForCausalLM"),
        "ValueError: Following weights were not initialized from checkpoint: {'lm_head.weight'}",
        "param.unfilled", "lm_head.weight", ("model.lm_head.weight", "outer", "inner"),
        sound=lambda: decoder(layers, architecture="OwnForCausalLM", model_type="own"),
        before=lambda: decoder(layers, architecture="OwnForCausalLM", model_type="own"), like=LLAMA,
    )  # fmt: skip


def head_too_deep_known(layers: int) -> Case:
    return Case(
        "B7", f"known-class-{layers}", lambda: inner_head(layers, "LlamaForCausalLM"),
        "ValueError: Following weights were not initialized from checkpoint: {'lm_head.weight'}",
        "name.rewrite", "model.lm_head.weight", ("1 of 1 map",), alone="same", sound=lambda: decoder(layers),
        before=lambda: decoder(layers),
    )  # fmt: skip


def every_weight(layers: int) -> Case:
    """The names of the error are those of the file, all of them."""
    names = ", ".join(f"'{name}'" for name in decoder(layers, tied=True).tensors)
    return Case(
        "B8", f"classifier-{layers}",
        lambda: decoder(
            layers, dim=16, tied=True, model_type="gemma2", architecture="Gemma2ForSequenceClassification"
        ),
        f"ValueError: Following weights were not initialized from checkpoint: {{{names}}}",
        "param.unfilled", "model.embed_tokens.weight",
        (f"{9 * layers + 2} parameters", "11 templates", f"{layers} layers", "`model.`"),
    )  # fmt: skip


def every_weight_elsewhere(layers: int) -> Case:
    """The names of the error are those of the file with another beginning."""

    def before() -> Model:
        return decoder(layers, dim=16, tied=True, model_type="gemma2", architecture="Gemma2Own")

    names = ", ".join(f"'{name}'" for name in decoder(layers, tied=True).tensors)
    return Case(
        "B8", f"prefix-{layers}",
        lambda: before().rename(lambda n: f"net.{n}"),
        f"ValueError: Following weights were not initialized from checkpoint: {{{names}}}",
        "name.rewrite", "net.model.embed_tokens.weight",
        (f"{9 * layers + 2}", "0 collisions", "strip `net.`"), before=before, like=LLAMA,
    )  # fmt: skip


CASES = [
    llava_layout(4), llava_layout(5), renested(4, 4), renested(6, 3), unnested(4, 4), unnested(5, 3),
    wrapper_kept(4), wrapper_kept(6),
    wrapper_in_text_class(4), wrapper_in_text_class(3), base_saved(4), base_saved(6), base_saved_untied(4), twice(4, 1),
    twice(3, 2), nothing_matches(4), nonsense(5), codestral(4), codestral(6), deepspeed_gemma(4), head_too_deep(4),
    head_too_deep(6), head_too_deep_known(4), every_weight(4), every_weight(7), every_weight_elsewhere(4),
]  # fmt: skip
