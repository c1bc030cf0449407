"""What llama.cpp says: its loader in C++, and its convert script and gguf-py."""

from __future__ import annotations

from tracer.complaints.pattern import GGML_SHAPE, NAME, Pattern

_LOADER = (
    Pattern(
        rf"tensor '(?P<name>[^'\n]{{1,200}})' has wrong shape; expected {{1,8}}(?P<shape2>{GGML_SHAPE}), got {{1,8}}"
        rf"(?P<shape1>{GGML_SHAPE})",
        "shape", "check_tensor_dims, before it llama_model_loader::create_tensor", needle="has wrong shape", ggml=True,
    ),
    Pattern(
        r"missing tensor ['\"`]?(?P<name>[\w.]*[\w])['\"`]?",
        "no-tensor", "llama_model_loader::require_tensor_meta since 2024", needle="missing tensor '",
    ),
    Pattern(
        r"tensor ['\"`](?P<name>[^'\"`\n]{1,200})['\"`] (?:not found|is missing from (?:the )?model)",
        "no-tensor", "llama_model_loader before 2024; QwenLM/Qwen3#1101",
        needle=("' not found", '" not found', "` not found", "is missing from"),
    ),
    Pattern(
        r"wrong number of tensors; expected (?P<number1>\d{1,9}), got (?P<number2>\d{1,9})",
        "unexpected", "done_getting_tensors: the file has as many as it expects, the model asked for as many as it got",
        needle="wrong number of tensors",
    ),
    Pattern(
        r"tensor '(?P<name>[^'\n]{1,200})' data is not within the file bounds",
        "header", "llama_tensor_weight: a file that is cut off", needle="not within the file bounds",
    ),
    Pattern(
        r"tensor '(?P<name>[^'\n]{1,200})' has offset (?P<number1>\d{1,19}), expected (?P<number2>\d{1,19})",
        "header", "gguf_init_from_file", needle="has offset",
    ),
    Pattern(
        r"tensor '(?P<name>[^'\n]{1,200})' (?:of type (?P<number1>\d{1,9})|has invalid ggml type"
        r" (?P<number2>-?\d{1,9}))",
        "dtype", "gguf_init_from_file: a type newer than the program, or one whose blocks do not divide the row",
        needle=("' of type ", "invalid ggml type"),
    ),
    Pattern(
        r"(?:invalid model: )?tensor '(?P<name>[^'\n]{1,200})' is duplicated|duplicated? tensor name:?"
        r" '(?P<name2>[^'\n]{1,200})'",
        "duplicate", "llama_model_loader; gguf_init_from_file; GGUFWriter of gguf-py", ignore_case=True,
        needle=("is duplicated", "uplicate tensor name", "uplicated tensor name"),
    ),
    Pattern(
        r"invalid magic (?:characters|number)[: ]+(?P<field>'[^\n]{1,12}?'|[0-9a-f]{1,8})|bad magic|failed to read"
        r" magic"
        r"|GGUF magic invalid",
        "header", "gguf_init_from_file; gguf-py", needle="magic",
    ),
    Pattern(
        r"failed to read (?:tensor info|key-value pairs|header)|file (?:is|appears to be) version (?P<number>\d{1,9})",
        "header", "gguf_init_from_file; gguf-py",
        needle=("failed to read tensor info", "failed to read key-value", "failed to read header", "file is version",
                "file appears to be version"),
    ),
    Pattern(
        r"unknown \(magic, version\) combination: (?P<field>[0-9a-f]{1,8}, [0-9a-f]{1,8})",
        "header", "llama_model_load_from_file before GGUF", needle="unknown (magic, version)",
    ),
    Pattern(
        r"key (?P<field>[\w.-]+) has wrong (?:array length|type)[^\n\d]{0,60}(?P<number2>\d{1,9})?(?:, got"
        r" (?P<number1>\d{1,9}))?",
        "no-field", "llama_model_loader::get_key_or_arr: a field that does not fit the layers", needle="has wrong ",
    ),
    Pattern(
        r"key not found in model: (?P<field>[\w.-]+)",
        "no-field", "llama_model_loader::get_key: metadata that the converter did not write",
        needle="key not found in model",
    ),
    Pattern(
        r"unknown (?:model )?architecture: ?['\"]?(?P<field>[\w.-]+)",
        "no-architecture", "llm_load_arch", needle=("unknown model architecture", "unknown architecture"),
    ),
    Pattern(
        r"failed to open (?:GGUF file )?['\"]?(?P<file>[^'\"\n(]{1,600}?)['\"]?(?: \(|: |$)",
        "no-file", "gguf_init_from_file; llama_file", needle="failed to open ",
    ),
    Pattern(
        r"error loading model: (?P<field>[^\n]{1,200})",
        "other", "llama_model_load, whatever else it has caught", needle="error loading model: ",
    ),
)  # fmt: skip

_CONVERTER = (
    Pattern(
        rf"[Cc]an ?not map tensor ['\"`](?P<name>{NAME})['\"`]",
        "no-parameter", "ModelBase.map_tensor_name; #6488, #7924, #12341", needle="not map tensor",
    ),
    Pattern(
        rf"Unexpected tensor name: ['\"]?(?P<name>{NAME})",
        "no-parameter", "convert.py before 2024", needle="Unexpected tensor name",
    ),
    Pattern(
        r"[Cc]ould not find any of: (?P<fields>\[[^\]\n]{1,400}\])",
        "no-field", "ModelBase.find_hparam", needle="ould not find any of:",
    ),
    Pattern(
        r"(?:Architecture|Model) ['\"`]?(?P<field>(?!is\b)\w+)['\"`]? (?:is )?not supported",
        "no-architecture", "ModelBase.from_model_architecture", needle=" not supported",
    ),
    Pattern(
        r"Missing tensors?: (?P<names>[\[{(][^\n]*)",
        "no-tensor", "ModelBase.get_tensors: the index names more than the parts have", needle="Missing tensor",
    ),
    Pattern(
        r"Extra tensors?: (?P<names>[\[{(][^\n]*)",
        "unexpected", "ModelBase.get_tensors: the parts have more than the index names", needle="Extra tensor",
    ),
    Pattern(
        r"Unprocessed (?:experts|norms?|tensors?): (?P<names>[\[{(][^\n]*)",
        "unexpected", "prepare_tensors of mixture-of-experts models: an expert of a layer is absent",
        needle="Unprocessed ",
    ),
    Pattern(
        r"Quant method is not yet supported: ['\"]?(?P<field>[\w-]+)",
        "quantisation", "ModelBase.dequant_model", needle="Quant method is not yet supported",
    ),
)  # fmt: skip

PATTERNS = tuple(pattern.by("llama.cpp") for pattern in (*_LOADER, *_CONVERTER))
