"""What vLLM says, and SGLang in the same words where it has taken over the code."""

from __future__ import annotations

from tracer.complaints.pattern import LEADING_NAME, NAME, SHAPE, Pattern

_NAMES = (
    Pattern(
        rf"[Nn]o (?:module or parameter|module|parameter) named ['\"`]?(?P<name>{NAME})['\"`]? in (?P<field>[A-Z]\w*)",
        "no-parameter", "AutoWeightsLoader since 0.6.4; vllm#32584",
        needle=("o module or parameter named", "o module named", "o parameter named"),
    ),
    Pattern(
        rf"[Nn]o (?:module or parameter) named ['\"`]?(?P<name>{NAME})['\"`]?",
        "no-parameter", "AutoWeightsLoader, quoted without its class", needle="o module or parameter named",
    ),
    Pattern(
        r"weights were not (?:initialized|loaded) from checkpoint:? ?(?P<names>[^\n]*)",
        "no-tensor", "DefaultModelLoader since 0.6.4: an error; a warning for quantised models",
        needle=("weights were not initialized from", "weights were not loaded from"),
    ),
    Pattern(
        r"[Ss]ome weights are not initialized from checkpoints?: (?P<names>[^\n]*)",
        "no-tensor", "gemma.py and others of vLLM before 0.6.4; deepseek and gemma of SGLang",
        needle="weights are not initialized from checkpoint", program="", warning=True,
    ),
    Pattern(
        rf"Found \w{{1,20}} in the checkpoint \(e\.g\. (?P<name1>{NAME})\), but not found the expected"
        rf" name in "
        rf"the model \(e\.g\. (?P<name2>{NAME})\)",
        "no-parameter", "maybe_remap_kv_scale_name; vllm#25047", needle="not found the expected name in the model",
        warning=True,
    ),
    Pattern(
        rf"(?:Parameter|Weight name|Weight) ['\"`]?(?P<name>{NAME})['\"`]?(?: \(mapped to [^\n)]{{1,300}}\))? not "
        rf"(?:found )?in params_dict",
        "no-parameter", "load_weights of SGLang's models, and of some of vLLM's", needle="in params_dict",
        program="", warning=True, gathers=True,
    ),
    Pattern(
        rf"{LEADING_NAME} not (?:found )?in params_dict",
        "no-parameter", "deepseek_nextn.py of SGLang", needle="in params_dict", program="sglang",
        warning=True, gathers=True,
    ),
    Pattern(
        r"[Ff]ailed to map GGUF parameters \((?P<number>\d{1,9})\)(?:: (?P<names>[^\n]*))?",
        "no-tensor", "GGUFModelLoader; vllm#38716: parameters that no GGUF tensor was found for",
        needle="to map GGUF parameters",
    ),
)  # fmt: skip

_SHAPES = (
    Pattern(
        rf"Attempted to load weight \((?P<shape1>{SHAPE})\)\s+into parameter \((?P<shape2>{SHAPE})\)",
        "shape", "default_weight_loader", needle="Attempted to load weight", program="",
    ),
    Pattern(
        r"\bassert\b[^\n]{0,100}?\b(?P<field1>\w*\.?(?:shape|size\(\)|numel\(\))(?:\[[\w-]{1,20}\])?) ?=="
        r" ?(?P<field2>[\w.]+(?:\(\))?(?:\[[\w-]{1,20}\])?)",
        "shape", "weight_loader of vLLM and SGLang, whose assertions have no words; vllm#15124, vllm#19361",
        needle="assert ", program="",
    ),
)  # fmt: skip

_QUANTISATION = (
    Pattern(
        r"The (?:input|output) size is not aligned with the quantized weight shape",
        "divisible", "awq.py and gptq.py; vllm#1258", needle="not aligned with the quantized weight shape", program="",
    ),
    Pattern(
        rf"Detected some but not all shards of (?P<name>{NAME}) are quantized",
        "quantisation", "is_layer_skipped of vLLM and SGLang", needle="but not all shards of", program="",
    ),
    Pattern(
        rf"Found a? ?different quantization schemes? for (?P<names>[^\n]{{1,400}}?) in (?P<name>{NAME})",
        "quantisation", "should_ignore_layer of compressed-tensors", needle="different quantization scheme", program="",
    ),
    Pattern(
        rf"Unable to find matching target for (?P<name>{NAME}) in the compressed-tensors config",
        "quantisation", "find_matched_target of compressed-tensors", needle="Unable to find matching target",
        program="",
    ),
    Pattern(
        r"Prequant BitsAndBytes [^\n]{0,60}tensor parallel[^\n]{0,60}not supported"
        r"|BitsAndBytes with (?:enforce_eager|tensor)[^\n]{0,60}not supported",
        "quantisation", "BitsAndBytesModelLoader; vllm#8434", needle="BitsAndBytes",
    ),
    Pattern(
        r"[Uu]nknown quantization (?:method|type|scheme|config)[:,]? ?(?:got )?['\"`]?(?P<field>[\w.-]+)?['\"`]?",
        "quantisation", "get_quantization_config of vLLM; AutoQuantizationConfig of Transformers",
        needle="nknown quantization", program="",
    ),
    Pattern(
        r"[Qq]uantization method specified in the model config \((?P<field1>[\w-]+)\) does not match the quantization "
        r"method specified in the `quantization` argument \((?P<field2>[\w-]+)\)",
        "quantisation", "ModelConfig._verify_quantization", needle="does not match the quantization", program="",
    ),
    Pattern(
        r"[Qq]uantization method (?P<field>[\w.-]+) is not (?:currently )?supported"
        r"|(?<![\w-])(?P<field2>[\w-]{1,60}+) quantization is (?:currently )?not supported",
        "quantisation", "_verify_quantization and get_quant_config", needle=("uantization method ", "uantization is "),
        program="",
    ),
    Pattern(
        r"(?P<field1>torch\.\w+) is not supported for quantization method (?P<field2>[\w-]+)",
        "dtype", "get_quant_config", needle="is not supported for quantization method", program="",
    ),
    Pattern(
        r"No compressed-tensors compatible scheme was found|Unsupported FusedMoe scheme"
        r"|Quantization scheme is not supported for the current GPU|Cannot find the config file for (?P<field>\w+)",
        "quantisation", "compressed_tensors.py; get_quant_config", program="",
        needle=("compressed-tensors compatible", "FusedMoe scheme", "Quantization scheme is",
                "find the config file for"),
    ),
)  # fmt: skip

_OTHER = (
    Pattern(
        r"No model architectures are specified", "no-architecture", "ModelRegistry of vLLM",
        needle="No model architectures",
    ),
    Pattern(
        r"Model architectures? (?P<fields>\[[^\]\n]{1,400}\]) (?:are not supported|is not supported|failed to be"
        r" inspected"
        r"|\(model_type|not registered)",
        "no-architecture", "ModelRegistry, also of SGLang, of LightLLM and of tpu-inference",
        needle="Model architecture",
        program="",
    ),
    Pattern(
        r"(?P<field>[A-Z]\w+) has no (?:vLLM|SGL[Aa]ng) implementation",
        "no-architecture", "ModelRegistry since 0.7", needle=("has no vLLM", "has no SGL"), program="",
    ),
    Pattern(
        r"(?:Unknown gguf model_type|Unsupported model type|GGUF model with architecture|Unsupported architecture):? "
        r"['\"`]?(?P<field>[\w.-]+)",
        "no-architecture", "GGUFModelLoader of vLLM; Transformers; TGI", program="",
        needle=("Unknown gguf model", "Unsupported model type", "GGUF model with arch",
                "Unsupported architecture"),
    ),
    Pattern(
        r"Cannot find any (?:model )?weights (?:with|in) [`'\"]?(?P<file>[^`'\"\n]{1,1000})",
        "no-file", "DefaultModelLoader", needle="Cannot find any", program="",
    ),
    Pattern(
        r"[Bb]float16 is only supported on GPUs with compute capability[^\n]{0,30}|Unknown dtype:? (?P<field>[\w.]+)",
        "dtype", "_check_if_gpu_supports_dtype; ModelConfig", program="",
        needle=("float16 is only supported", "Unknown dtype"),
    ),
    Pattern(
        r"NaN in the logits|[Nn]a[Nn]s? (?:detected|found) in (?:the )?logits|logits contain (?:NaN|nan|inf)",
        "not-finite", "Sampler of SGLang", program="",
        needle=("in the logits", "in logits", "logits contain"),
    ),
)  # fmt: skip

PATTERNS = tuple(pattern.by("vllm") for pattern in (*_NAMES, *_SHAPES, *_QUANTISATION, *_OTHER))
