"""What Transformers says, version 4 in sentences and version 5 in a table; and the Trainer and accelerate with it."""

from __future__ import annotations

from tracer.complaints.pattern import NAME, SHAPE, Pattern

_ROW = r"^\W{0,4}(?P<name>[\w.{}, -]{1,600}?)\s{0,400}\|\s{0,4}"

_REPORT = (
    Pattern(
        rf"{_ROW}MISSING\b", "no-tensor", "the LOAD REPORT of 5.0", needle="MISSING", warning=True, gathers=True,
        collapsed=True,
    ),
    Pattern(
        rf"{_ROW}UNEXPECTED\b", "unexpected", "the LOAD REPORT of 5.0", needle="UNEXPECTED", warning=True,
        gathers=True, collapsed=True,
    ),
    Pattern(
        rf"{_ROW}MISMATCH\b(?:[^\n]{{0,80}}?ckpt: (?P<shape1>{SHAPE}) vs model: ?(?P<shape2>{SHAPE}))?",
        "shape", "the LOAD REPORT of 5.0", needle="MISMATCH", warning=True, collapsed=True,
    ),
    Pattern(
        rf"{_ROW}CONVERSION\b", "no-tensor", "the LOAD REPORT of 5.0: a conversion rule that failed",
        needle="CONVERSION", gathers=True, collapsed=True,
    ),
)  # fmt: skip

_SENTENCES = (
    Pattern(
        r"were not used when initializing (?P<field>\w+): (?P<names>[^\n]*)",
        "unexpected", "4.x, _load_pretrained_model", needle="were not used when initializing", warning=True,
    ),
    Pattern(
        r"[Ss]ome weights of (?P<field>\w+) were not initialized from the model checkpoint[^\n]{0,600}?newly"
        r" initialized:"
        r" (?P<names>[^\n]*)",
        "no-tensor", "4.x, _load_pretrained_model", needle="newly initialized", warning=True,
    ),
    Pattern(
        rf"- (?P<name>{NAME}): found shape (?P<shape1>{SHAPE}) in the checkpoint and (?P<shape2>{SHAPE}) in the model",
        "shape", "4.x with ignore_mismatched_sizes", needle=": found shape", warning=True,
    ),
    Pattern(
        r"[Tt]here were missing keys in the checkpoint model loaded: (?P<names>[^\n]*)",
        "no-tensor", "Trainer._issue_warnings_after_load", needle="missing keys in the checkpoint model loaded",
        warning=True,
    ),
    Pattern(
        r"[Tt]here were unexpected keys in the checkpoint model loaded: (?P<names>[^\n]*)",
        "unexpected", "Trainer._issue_warnings_after_load", needle="unexpected keys in the checkpoint model loaded",
        warning=True,
    ),
    Pattern(
        rf"[Tt]rying to set a tensor of shape (?P<shape1>{SHAPE}) in \"?(?P<name>{NAME})\"? \(which has shape "
        rf"(?P<shape2>{SHAPE})\)",
        "shape", "set_module_tensor_to_device of accelerate", needle="to set a tensor of shape",
    ),
    Pattern(
        r"You seem to have cloned a repository without having git-lfs installed",
        "header", "4.x, load_state_dict: the file begins like a Git-LFS pointer", needle="without having git-lfs",
    ),
    Pattern(
        r"Unable to load weights from pytorch checkpoint file for '(?P<field>[^'\n]{1,400})' at"
        r" '(?P<file>[^'\n]{1,800})'",
        "header", "4.x, load_state_dict", needle="Unable to load weights from",
    ),
    Pattern(
        r"config file at '(?P<file>[^'\n]{1,800})' is not a valid JSON file",
        "header", "get_config_dict", needle="is not a valid JSON file",
    ),
)  # fmt: skip

_ARCHITECTURE = (
    Pattern(
        r"has model type [`'\"](?P<field>[^`'\"\n]{1,100})[`'\"]\s+but Transformers does not recognize this"
        r" architecture",
        "no-architecture", "AutoConfig since 4.29", needle="does not recognize this architecture",
    ),
    Pattern(
        r"Should have a `(?P<field>model_type)` key in its config\.json",
        "no-field", "AutoConfig", needle="key in its config.json",
    ),
    Pattern(
        r"Unrecognized configuration class <class '[\w.]*?(?P<field>\w+)'> for this kind of AutoModel",
        "no-architecture", "AutoModel: the class does not serve this task", needle="Unrecognized configuration class",
    ),
    Pattern(
        r"Unrecognized model (?:identifier|type for subconfig): (?P<field>[\w.-]+)",
        "no-architecture", "CONFIG_MAPPING", needle="Unrecognized model ",
    ),
    Pattern(
        r"`(?P<field>rope_scaling|rope_parameters|rope_theta)`(?:'s \w+ field)? must (?:be|have)[^\n]{0,200}",
        "no-field", "_rope_scaling_validation", needle=("`rope_",),
    ),
)  # fmt: skip

_FILES = (
    Pattern(
        r"Error no file named (?P<files>[^\n]{1,600}?),? found in directory (?P<field>[^\s]{1,600})",
        "no-file", "from_pretrained", needle="Error no file named",
    ),
    Pattern(
        r"(?P<field>(?<!\S)\S{1,400}+) does not appear to have (?:a file|files?) named (?P<files>[^\n]{1,400}?)"
        r"(?:\. | and thus| but there| which is|\.?$)",
        "no-file", "cached_file", needle="does not appear to have",
    ),
    Pattern(
        r"Entry Not Found for url: [^\s?]{1,800}/(?P<file>[^\s/?]{1,200})",
        "no-file", "hf_hub_download of huggingface_hub", needle="Entry Not Found for url",
    ),
    Pattern(
        r"Can't load the (?:model|configuration) (?:for|of) '(?P<field>[^'\n]{1,400})'",
        "no-file", "from_pretrained", needle="Can't load the ",
    ),
    Pattern(
        r"(?P<field>(?<!\S)\S{1,400}+) is not a local folder and is not a valid model identifier",
        "no-file", "cached_file", needle="is not a local folder",
    ),
)  # fmt: skip

PATTERNS = tuple(pattern.by("transformers") for pattern in (*_REPORT, *_SENTENCES, *_ARCHITECTURE, *_FILES))
