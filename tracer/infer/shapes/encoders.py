"""Signatures of encoders, encoder-decoders and vision transformers.

Shapes: the model cards' config.json and the classes of Transformers that they name.
"""

from __future__ import annotations

from tracer.infer.shapes.signature import Family

SELF_ATTENTION = "q, k, v, o @layer: hidden, hidden\nq bias, k bias, v bias, o bias @layer: hidden\n"
BLOCK = (
    "first norm, first norm bias, second norm, second norm bias @layer: hidden\n" + SELF_ATTENTION
    + "up @layer: ffn, hidden\nup bias @layer: ffn\ndown @layer: hidden, ffn\ndown bias @layer: hidden\n"
)  # fmt: skip
TABLES = "embedding norm, embedding norm bias: hidden\nword embedding: vocab, hidden\npositions: position, hidden\n"
POOLER = "pooler ?pooler: hidden, hidden\npooler bias ?pooler: hidden\n"
MASKED_HEAD = (
    "transform ?masked head: hidden, hidden\ntransform bias, transform norm, transform norm bias ?masked head: hidden\n"
    "head bias ?masked head: vocab\n"
)
CLASSIFIER = "classifier ?classifier: classes, hidden\nclassifier bias ?classifier: classes\n"
FIELDS = {"classes": "num_labels", "position": "max_position_embeddings"}

BERT = Family(
    "bert", ("BertModel", "BertForMaskedLM", "BertForSequenceClassification", "BertForPreTraining"),
    BLOCK + TABLES + "token types: types, hidden\n" + MASKED_HEAD + POOLER + CLASSIFIER
    + "decoder ?stored decoder: vocab, hidden\n",
    "tables of words, positions and token types, biases everywhere, no final norm",
    fields=FIELDS | {"types": "type_vocab_size"}, greater=(("vocab", "position"), ("position", "types")),
)  # fmt: skip
ROBERTA = Family(
    "roberta", ("RobertaModel", "RobertaForMaskedLM", "XLMRobertaModel", "XLMRobertaForMaskedLM"),
    BLOCK + TABLES + "token type: 1, hidden\n" + MASKED_HEAD + POOLER + CLASSIFIER
    + "decoder ?stored decoder: vocab, hidden\n",
    "as BERT, with a single token type", fields=FIELDS, greater=(("vocab", "position"),),
)  # fmt: skip
LAYOUTLM = Family(
    "layoutlm", ("LayoutLMModel", "LayoutLMForMaskedLM"),
    BLOCK + TABLES + "token types: types, hidden\nx, y, height, width positions: places, hidden\n" + MASKED_HEAD
    + POOLER + "decoder ?stored decoder: vocab, hidden\n",
    "as BERT, with four tables of places on the page",
    fields=FIELDS | {"types": "type_vocab_size", "places": "max_2d_position_embeddings"},
    greater=(("vocab", "position"), ("position", "types")),
)  # fmt: skip
DISTILBERT = Family(
    "distilbert", ("DistilBertModel", "DistilBertForMaskedLM", "DistilBertForSequenceClassification"),
    BLOCK + TABLES + MASKED_HEAD + POOLER.replace("pooler", "pre-classifier") + CLASSIFIER,
    "as BERT, without token types", greater=(("vocab", "position"),),
    fields=FIELDS | {"hidden": "dim", "layer": "n_layers", "ffn": "hidden_dim"},
)  # fmt: skip
VIT = Family(
    "vit", ("ViTForImageClassification", "ViTModel", "DeiTForImageClassification"),
    BLOCK + "patches: hidden, 3, patch, patch\npatch bias, norm, norm bias: hidden\nclass token: 1, 1, hidden\n"
    "positions: 1, position, hidden\n" + POOLER + CLASSIFIER,
    "a convolution over patches, a class token, biases everywhere",
    fields={
        "patch": "patch_size", "classes": "num_labels",
        "position": "image_size / patch_size * image_size / patch_size + 1",
    },
)  # fmt: skip

T5_ATTENTION = (
    "q, k, v, o, cross q, cross k, cross v, cross o, encoder q, encoder k, encoder v, encoder o"
    " @layer: inner, hidden\n"
)
T5_NORMS = "encoder norm, encoder ffn norm, decoder norm, cross norm, decoder ffn norm @layer: hidden\n"
T5_ENDS = (
    "encoder's final norm, decoder's final norm: hidden\nembedding: vocab, hidden\n"
    "encoder's relative positions, decoder's relative positions: buckets, heads\nhead ?untied: vocab, hidden\n"
)
T5_FIELDS = {
    "inner": "num_heads * d_kv", "buckets": "relative_attention_num_buckets", "heads": "num_heads",
    "layer": "num_layers", "ffn": "d_ff",
}  # fmt: skip
T5 = Family(
    "t5", ("T5ForConditionalGeneration", "T5Model"),
    T5_NORMS + T5_ATTENTION + "encoder up, encoder down, decoder up, decoder down @layer: ffn, hidden\n" + T5_ENDS,
    "encoder and decoder, tables of relative positions, no biases", fields=T5_FIELDS,
)  # fmt: skip
T5_GATED = Family(
    "t5-gated", ("T5ForConditionalGeneration", "MT5ForConditionalGeneration", "UMT5ForConditionalGeneration"),
    T5_NORMS + T5_ATTENTION + "encoder gate, encoder up, encoder down, decoder gate, decoder up, decoder down"
    " @layer: ffn, hidden\n" + T5_ENDS,
    "encoder and decoder, tables of relative positions, gated feed-forward", fields=T5_FIELDS,
)  # fmt: skip

FAMILIES = (ROBERTA, BERT, LAYOUTLM, DISTILBERT, VIT, T5, T5_GATED)
