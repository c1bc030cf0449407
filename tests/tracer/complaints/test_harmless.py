"""What engines write while all is well is no complaint, though it talks of errors and of what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracer.complaints.logs import STARTED, told
from tracer.complaints import read_error

VLLM = [
    STARTED,
    "INFO 11-20 10:10:00 [__init__.py:216] Automatically detected platform cuda.",
    "INFO 11-20 10:10:00 [model.py:547] Resolved architecture: FooForCausalLM",
    "INFO 11-20 10:10:00 [config.py:1472] Downcasting torch.float32 to torch.float16.",
    "WARNING 11-20 10:10:00 [config.py:678] awq quantization is not fully optimized yet. The speed can be slower than "
    "non-quantized models.",
    "INFO 11-20 10:10:00 [awq_marlin.py:116] The model is convertible to awq_marlin during runtime. Using awq_marlin.",
    "WARNING 11-20 10:10:00 [topk_topp_sampler.py:69] FlashInfer is not available. Falling back to PyTorch.",
    "INFO 11-20 10:10:00 [weight_utils.py:392] Using model weights format ['*.safetensors']",
    "Loading safetensors checkpoint shards: 100% Completed | 4/4 [00:02<00:00,  1.6it/s]",
    "INFO 11-20 10:10:00 [default_loader.py:267] Loading weights took 2.50 seconds",
    "WARNING 11-20 10:10:00 [fused_moe.py:886] Using default MoE config. Performance might be sub-optimal! Config file "
    "not found at ['/x/E=128,N=768,device_name=H100.json']",
    "INFO 11-20 10:10:00 [gpu_model_runner.py:2653] Model loading took 14.2 GiB and 3.1 seconds",
    "[rank0]:[W1120 10:10:00.123456789 ProcessGroupNCCL.cpp:4718] [PG ID 0 PG GUID 0 Rank 0] using GPU 0 to perform "
    "barrier as devices used by this process are currently unknown.",
    "ERROR 11-20 10:10:00 [repo_utils.py:65] Error retrieving safetensors: Repo id must be in the form 'repo_name'",
    'INFO:     10.0.0.7:4312 - "POST /v1/completions HTTP/1.1" 400 Bad Request',
    "WARNING 11-20 10:10:00 [tokenizer.py:64] Using a slow tokenizer. This might cause a significant slowdown.",
    "(EngineCore_0 pid=12) INFO 11-20 10:10:00 [kv_cache_utils.py:1087] GPU KV cache size: 412,336 tokens",
    "UserWarning: The input object of type 'Tensor' is an array-like; missing tensor support is deprecated",
    "ImportError while loading vllm._C: libcudart.so.12: cannot open shared object file",
]
SGLANG = [
    "[2025-01-01 10:00:00 TP0] Load weight begin. avail mem=78.58 GB",
    "[2025-01-01 10:00:00 TP0] Load weight end. type=FooForCausalLM, dtype=torch.bfloat16, avail mem=64.2 GB",
    "[2025-01-01 10:00:00] Attention backend not explicitly specified. Use flashinfer backend by default.",
    "[2025-01-01 10:00:00 TP0] Prefill batch. #new-seq: 1, #new-token: 6, #cached-token: 0, token usage: 0.00",
    "[2025-01-01 10:00:00] The server is fired up and ready to roll!",
]
LLAMA_CPP = [
    "llama_model_loader: loaded meta data with 34 key-value pairs and 291 tensors from foo.gguf (version GGUF V3)",
    "llama_model_loader: - kv   0:                       general.architecture str              = llama",
    "llama_model_loader: - type q4_K:  193 tensors",
    "load: control token: 128 '<|reserved_special_token_120|>' is not marked as EOG",
    "load: special_eos_id is not in special_eog_ids - the tokenizer config may be incorrect",
    "done_getting_tensors: tensor 'token_embd.weight' (q4_K) (and 0 others) cannot be used with preferred buffer type "
    "CPU_AARCH64, using CPU instead",
    "create_tensor: loading tensor blk.27.attn_output.weight",
    "print_info: file format = GGUF V3 (latest)",
    "llama_context: n_ctx_per_seq (4096) < n_ctx_train (131072) -- the full capacity of the model will not be utilized",
    "INFO:hf-to-gguf:blk.0.attn_q.weight,          torch.bfloat16 --> F16, shape = {4096, 4096}",
    "INFO:hf-to-gguf:gguf: experts used count = 8",
]
TRANSFORMERS = [
    "`torch_dtype` is deprecated! Use `dtype` instead!",
    "Setting `pad_token_id` to `eos_token_id`:128001 for open-end generation.",
    "All model checkpoint weights were used when initializing FooForCausalLM.",
    "All the weights of FooForCausalLM were initialized from the model checkpoint at /m.",
    "The attention mask is not set and cannot be inferred from input because pad token is same as eos token.",
]
ALL = [*VLLM, *SGLANG, *LLAMA_CPP, *TRANSFORMERS]


@pytest.mark.parametrize("line", ALL, ids=[line[:50] for line in ALL])
def test_a_line_of_a_healthy_server_is_no_complaint(tmp_path: Path, line: str) -> None:
    assert told(tmp_path, [line]).complaints == ()


@pytest.mark.parametrize("text", ["", "\n\n", "please help", "it does not start", "why?", "0", "{}"])
def test_words_that_say_nothing_are_read_as_nothing(text: str) -> None:
    found = read_error(text)
    assert (found.complaints, found.lines) == ((), text.count("\n") + 1)
