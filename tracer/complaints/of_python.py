"""What any Python program says: a key that is not there, an attribute, a file."""

from __future__ import annotations

from tracer.complaints.pattern import QUOTED, Pattern

_OF_A_MODEL = r"\.(?:safetensors|bin|json|gguf|pth?|ckpt|model|msgpack|h5|npz|jinja)"
"""Ends of file names that a checkpoint has; engines also miss compilers and sockets."""

PATTERNS = (
    Pattern(
        r"module '(?:torch|ml_dtypes|numpy)' has no attribute '(?P<field>b?float\w+|u?int\d+)'",
        "dtype", "PyTorch older than the dtype, as float8_e8m0fnu before 2.7", needle="has no attribute",
    ),
    Pattern(
        r"'\w{1,100}Config' object has no attribute '(?P<field>\w+)'",
        "no-field", "PretrainedConfig.__getattribute__, and any code that takes a field for granted",
        needle="has no attribute",
    ),
    Pattern(
        r"(?<![\w.])(?P<field>[A-Za-z_][\w.]{0,200}+)['\"`]? object has no attribute ['\"`](?P<name>\w+)['\"`]",
        "attribute", "AttributeError of CPython; vllm#34201, vllm#43564", needle="has no attribute",
    ),
    Pattern(
        rf"No such file or directory(?:: ?| \(os error 2\):? ?)['\"](?P<file>[^'\"\n]{{1,1000}}?{_OF_A_MODEL})['\"]",
        "no-file", "open() of CPython, safe_open of safetensors", needle="No such file or directory",
    ),
    Pattern(
        rf"No such file or directory: \"?(?P<file>[^\s'\"]{{1,1000}}?{_OF_A_MODEL})(?=[\s\"',]|$)",
        "no-file", "safe_open of safetensors", needle="No such file or directory",
    ),
    Pattern(
        rf"[Ff]ile not found: ['\"]?(?P<file>[^\s'\"]{{1,1000}}?{_OF_A_MODEL})(?=[\s\"',]|$)",
        "no-file", "vocabulary readers of convert_hf_to_gguf.py", needle="ile not found: ",
    ),
    Pattern(
        r"JSONDecodeError: (?P<field>Expecting value|Extra data|Expecting [^\n:]{1,60}|Unterminated string[^\n:]{0,40}"
        r"|Invalid [^\n:]{1,40}): line (?P<number1>\d{1,9}) column (?P<number2>\d{1,9})",
        "header", "json of CPython, on config.json or an index", needle="JSONDecodeError",
    ),
)  # fmt: skip

KEY = Pattern(
    rf"\bKeyError\b(?:\(|[^'\"`\n]{{0,16}}?)(?P<name>{QUOTED}|(?<= )[\w-]{{1,200}}+(?:\.[\w-]{{1,200}}+){{1,40}})",
    "no-parameter", "dict.__getitem__ of CPython; `load_weights` of vLLM and SGLang look names up in it",
    needle="KeyError",
)  # fmt: skip
LONE_KEY = Pattern(
    rf"^\s*(?P<name>{QUOTED})\s*$", "no-parameter", "str(KeyError) of CPython; quoted so in vllm#11010", needle="",
)  # fmt: skip
