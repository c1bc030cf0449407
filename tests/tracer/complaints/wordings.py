"""What programs say according to their own sources, with names and numbers that no thread has."""

from __future__ import annotations

from tests.tracer.complaints.sentences import Sentence

VLLM = [
    Sentence("ValueError: There is no module or parameter named 'model.layers.47.eh_proj' in"
             " TransformersMoEForCausalLM. "
             "The available parameters belonging to model.layers.47 (Layer) are: {'model.layers.47.mlp.gate.weight'}",
             "no-parameter", {"names": ("model.layers.47.eh_proj",), "fields": ("TransformersMoEForCausalLM",)}),
    Sentence("ValueError: Following weights were not loaded from checkpoint: {'a.weight', 'b.weight'}", "no-tensor",
             {"names": ("a.weight", "b.weight")}),
    Sentence("RuntimeError: Some weights are not initialized from checkpoints: {'model.norm.weight'}", "no-tensor",
             {"names": ("model.norm.weight",)}),
    Sentence("AssertionError: Attempted to load weight (torch.Size([640, 6912])) into parameter "
             "(torch.Size([2560, 6912]))", "shape", {"shapes": ((640, 6912), (2560, 6912))}),
    Sentence("AssertionError: 29568 is not divisible by 16", "divisible", {"numbers": (29568, 16)}),
    Sentence("ValueError: The output_size of gate's and up's weight = 192 is not divisible by weight quantization "
             "block_n = 128.", "divisible", {"numbers": (192, 128)}),
    Sentence("ValueError: Weight output_partition_size = 9728 is not divisible by weight quantization block_n = 128.",
             "divisible", {"numbers": (9728, 128)}),
    Sentence("RuntimeError: size_n = 2736, is not divisible by min_thread_n = 64", "divisible",
             {"numbers": (2736, 64)}),
    Sentence("AssertionError: assert self.total_num_kv_heads % tp_size == 0", "divisible"),
    Sentence("ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: "
             "dict_keys(['AquilaModel', 'BartModel'])", "no-architecture", {"fields": ("FooForCausalLM",)}),
    Sentence("ValueError: Model architectures ['Foo2ForCausalLM'] failed to be inspected. Please check the logs.",
             "no-architecture", {"fields": ("Foo2ForCausalLM",)}),
    Sentence("ValueError: FooForCausalLM has no vLLM implementation and the Transformers implementation is not "
             "compatible with vLLM.", "no-architecture", {"fields": ("FooForCausalLM",)}),
    Sentence("RuntimeError: Unknown gguf model_type: foo3", "no-architecture", {"fields": ("foo3",)}),
    Sentence("RuntimeError: Cannot find any model weights with `/models/foo`", "no-file", {"files": ("/models/foo",)}),
    Sentence("ValueError: Unknown quantization method: hqq2. Must be one of ['aqlm', 'awq'].", "quantisation",
             {"fields": ("hqq2",)}),
    Sentence("ValueError: Quantization method specified in the model config (gptq) does not match the quantization "
             "method specified in the `quantization` argument (awq).", "quantisation", {"fields": ("gptq", "awq")}),
    Sentence("ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. "
             "Current capability: 75.", "quantisation", {"fields": ("fp8",)}),
    Sentence("ValueError: torch.bfloat16 is not supported for quantization method awq. Supported dtypes: "
             "[torch.float16]", "dtype", {"fields": ("torch.bfloat16", "awq")}),
    Sentence("ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4"
             " GPU "
             "has compute capability 7.5.", "dtype"),
    Sentence("ValueError: Detected some but not all shards of model.layers.3.self_attn.qkv_proj are quantized. All"
             " shards "
             "of fused layers to have the same precision.", "quantisation",
             {"names": ("model.layers.3.self_attn.qkv_proj",)}),
    Sentence("ValueError: Found a different quantization schemes for ['q_proj', 'k_proj', 'v_proj'] in "
             "model.layers.0.self_attn.qkv_proj. vLLM requires all to use the same scheme.", "quantisation",
             {"names": ("model.layers.0.self_attn.qkv_proj", "q_proj", "k_proj", "v_proj")}),
    Sentence("ValueError: Unable to find matching target for model.visual.blocks.0.attn in the compressed-tensors"
             " config.",
             "quantisation", {"names": ("model.visual.blocks.0.attn",)}),
    Sentence("ValueError: Prequant BitsAndBytes models with tensor parallelism is not supported. Please try with "
             "pipeline parallelism.", "quantisation"),
    Sentence("ValueError: base_model.model.model.layers.0.mlp.down_proj.lora_A.default.weight is unsupported LoRA"
             " weight",
             "adapter", {"names": ("base_model.model.model.layers.0.mlp.down_proj.lora_A.default.weight",)}),
    Sentence("ValueError: LoRA rank 64 is greater than max_lora_rank 16.", "adapter", {"numbers": (64, 16)}),
    Sentence("ValueError: Unexpected weight name: model.foo.weight", "no-parameter", {"names": ("model.foo.weight",)}),
]  # fmt: skip
SGLANG = [
    Sentence("Parameter model.layers.37.input_layernorm.weight not found in params_dict", "no-parameter",
             {"names": ("model.layers.37.input_layernorm.weight",)}),
    Sentence("model.decoder.self_attn.attn_mqa.v_scale not found in params_dict.", "no-parameter",
             {"names": ("model.decoder.self_attn.attn_mqa.v_scale",), "program": "sglang"}),
    Sentence("Parameter a.b.weight (mapped to c.d.weight) not found in params_dict, skip loading", "no-parameter",
             {"names": ("a.b.weight",)}),
    Sentence("ValueError: Detected errors during sampling! NaN in the logits.", "not-finite"),
]  # fmt: skip
TORCH = [
    Sentence("\tsize mismatch for model.embed_tokens.weight: copying a param with shape torch.Size([128260, 4096])"
             " from "
             "checkpoint, the shape in current model is torch.Size([128256, 4096]).", "shape",
             {"names": ("model.embed_tokens.weight",), "shapes": ((128260, 4096), (128256, 4096)), "program": "torch"}),
    Sentence("size mismatch for model.norm.weight: copying a param with shape torch.Size([0]) from checkpoint, the"
             " shape "
             "in current model is torch.Size([4096]).", "shape",
             {"names": ("model.norm.weight",), "shapes": ((0,), (4096,))}),
    Sentence("size mismatch for score: copying a param with shape torch.Size([]) from checkpoint, the shape in current "
             "model is torch.Size([1]).", "shape", {"names": ("score",), "shapes": ((), (1,))}),
    Sentence('While copying the parameter named "layers.0.weight", whose dimensions in the model are torch.Size([2, 3])'
             " and whose dimensions in the checkpoint are torch.Size([2, 4]), an exception occurred : ('boom',).",
             "shape", {"names": ("layers.0.weight",), "shapes": ((2, 4), (2, 3))}),
    Sentence('Unexpected key(s) in state_dict: "module.a", "module.b". ', "unexpected",
             {"names": ("module.a", "module.b")}),
    Sentence("ValueError: Size mismatch between saved torch.Size([8, 2]) and current: torch.Size([4, 2]) for a.weight",
             "shape", {"names": ("a.weight",), "shapes": ((8, 2), (4, 2))}),
    Sentence("RuntimeError: The expanded size of the tensor (4096) must match the existing size (8192) at"
             " non-singleton "
             "dimension 0.  Target sizes: [4096].  Tensor sizes: [8192]", "shape",
             {"numbers": (8192, 4096), "shapes": ((8192,), (4096,))}),
    Sentence("RuntimeError: start (2048) + length (2048) exceeds dimension size (3072).", "shape",
             {"numbers": (2048, 2048, 3072)}),
    Sentence("RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x4096 and 1x8388608)", "shape",
             {"shapes": ((4, 4096), (1, 8388608))}),
    Sentence("_pickle.UnpicklingError: Weights only load failed. WeightsUnpickler error: Unsupported global: GLOBAL "
             "builtins.eval was not an allowed global by default.", "pickle", {"names": ("builtins.eval",)}),
    Sentence("\tWeightsUnpickler error: Unsupported class numpy.core.multiarray.scalar", "pickle",
             {"names": ("numpy.core.multiarray.scalar",)}),
    Sentence("_pickle.UnpicklingError: invalid load key, 'v'.", "header", {"fields": ("v",)}),
    Sentence("_pickle.UnpicklingError: invalid load key, '<'.", "header", {"fields": ("<",)}),
    Sentence("RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory",
             "header"),
    Sentence("EOFError: Ran out of input", "header"),
    Sentence("RuntimeError: unexpected EOF, expected 3405 more bytes. The file might be corrupted.", "header",
             {"numbers": (3405,)}),
    Sentence("RuntimeError: probability tensor contains either `inf`, `nan` or element < 0", "not-finite"),
    Sentence("RuntimeError: expected scalar type Half but found BFloat16", "dtype", {"fields": ("Half", "BFloat16")}),
    Sentence("AttributeError: module 'torch' has no attribute 'float8_e8m0fnu'", "dtype",
             {"fields": ("float8_e8m0fnu",)}),
]  # fmt: skip
TRANSFORMERS = [
    Sentence("Some weights of the model checkpoint at /m were not used when initializing FooForCausalLM: ['a.weight', "
             "'b.weight']", "unexpected", {"names": ("a.weight", "b.weight"), "fields": ("FooForCausalLM",)}),
    Sentence("Some weights of FooForCausalLM were not initialized from the model checkpoint at /m and are newly "
             "initialized: ['lm_head.weight']", "no-tensor",
             {"names": ("lm_head.weight",), "fields": ("FooForCausalLM",)}),
    Sentence("- lm_head.weight: found shape torch.Size([8, 4]) in the checkpoint and torch.Size([6, 4]) in the model "
             "instantiated", "shape", {"names": ("lm_head.weight",), "shapes": ((8, 4), (6, 4))}),
    Sentence('ValueError: Trying to set a tensor of shape torch.Size([128256, 8]) in "weight" (which has shape '
             "torch.Size([128264, 8])), this looks incorrect.", "shape",
             {"names": ("weight",), "shapes": ((128256, 8), (128264, 8))}),
    Sentence("There were missing keys in the checkpoint model loaded: ['lm_head.weight'].", "no-tensor",
             {"names": ("lm_head.weight",)}),
    Sentence("ValueError: The checkpoint you are trying to load has model type `foo4` but Transformers does not"
             " recognize "
             "this architecture. This could be because", "no-architecture", {"fields": ("foo4",)}),
    Sentence("ValueError: Unrecognized model in /m. Should have a `model_type` key in its config.json.", "no-field",
             {"fields": ("model_type",)}),
    Sentence("OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /models/foo.",
             "no-file", {"files": ("model.safetensors", "pytorch_model.bin"), "fields": ("/models/foo",)}),
    Sentence("OSError: Error no file named pytorch_model.bin, model.safetensors, tf_model.h5, model.ckpt.index or "
             "flax_model.msgpack found in directory /m.", "no-file", {"fields": ("/m",), "files": (
                 "pytorch_model.bin", "model.safetensors", "tf_model.h5", "model.ckpt.index", "flax_model.msgpack")}),
    Sentence("OSError: acme/Foo does not appear to have a file named config.json. Checkout 'https://huggingface.co/",
             "no-file", {"fields": ("acme/Foo",), "files": ("config.json",)}),
    Sentence("OSError: It looks like the config file at '/m/config.json' is not a valid JSON file.", "header",
             {"files": ("/m/config.json",)}),
    Sentence("OSError: You seem to have cloned a repository without having git-lfs installed. Please install",
             "header"),
    Sentence("AttributeError: 'Foo2Config' object has no attribute 'num_key_value_heads'", "no-field",
             {"fields": ("num_key_value_heads",)}),
    Sentence("FileNotFoundError: No such file or directory: \"/m/model-00007-of-00012.safetensors\"", "no-file",
             {"files": ("/m/model-00007-of-00012.safetensors",)}),
    Sentence("ValueError: hidden_size must be divisible by num_heads (got `hidden_size`: 2050 and `num_heads`: 32).",
             "divisible", {"numbers": (2050, 32)}),
    Sentence("KeyError: 'mistral'", "no-architecture", {"fields": ("mistral",)}),
    Sentence("KeyError: 'F8_E8M0'", "dtype", {"fields": ("F8_E8M0",)}),
    Sentence("KeyError: 'num_hidden_layers'", "no-field", {"fields": ("num_hidden_layers",)}),
]  # fmt: skip
SAFETENSORS = [
    *(Sentence(f"safetensors_rust.SafetensorError: Error while deserializing header: {reason}", "header",
               {"fields": (reason,), "program": "safetensors"})
      for reason in ("header too large", "header too small", "invalid header length", "InvalidHeaderLength",
                     "incomplete metadata, file not fully covered", "MetadataIncompleteBuffer", "TensorInvalidInfo")),
    Sentence("Error while deserializing header: invalid offset for tensor `b.weight`", "header",
             {"names": ("b.weight",)}),
    Sentence("SafetensorError: Error while deserializing header: invalid JSON in header: unknown variant `F4`,"
             " expected "
             "one of `BOOL`, `F6_E2M3` at line 1 column 30", "dtype", {"fields": ("F4",)}),
    Sentence("header too large", "header", {"fields": ("header too large",)}),
    Sentence("safetensors_rust.SafetensorError: File does not contain tensor lm_head.weight", "no-tensor",
             {"names": ("lm_head.weight",)}),
    Sentence("RuntimeError: Some tensors share memory, this will lead to duplicate memory on disk and potential "
             "differences when loading them again: [{'lm_head.weight', 'model.embed_tokens.weight'}].", "duplicate",
             {"names": ("lm_head.weight", "model.embed_tokens.weight")}),
]  # fmt: skip
LLAMA_CPP = [
    Sentence("llama_model_load: error loading model: missing tensor 'blk.7.attn_q_norm.weight'", "no-tensor",
             {"names": ("blk.7.attn_q_norm.weight",), "program": "llama.cpp"}),
    Sentence("llama_model_load: error loading model: done_getting_tensors: wrong number of tensors; expected 292, got "
             "291", "unexpected", {"numbers": (292, 291)}),
    Sentence("llama_model_load: error loading model: tensor 'blk.54.ffn_down_exps.weight' data is not within the file "
             "bounds, model is corrupted or incomplete", "header", {"names": ("blk.54.ffn_down_exps.weight",)}),
    Sentence("gguf_init_from_file_impl: invalid magic characters: 'vers', expected 'GGUF'", "header",
             {"fields": ("vers",)}),
    Sentence("gguf_init_from_file: invalid magic characters '<!DO'", "header", {"fields": ("<!DO",)}),
    Sentence("gguf_init_from_file_impl: tensor 'blk.0.attn_q.weight' has invalid ggml type 42 (NONE)", "dtype",
             {"names": ("blk.0.attn_q.weight",), "numbers": (42,)}),
    Sentence("llama_model_load: error loading model: error loading model architecture: unknown model architecture: "
             "'foo5'", "no-architecture", {"fields": ("foo5",)}),
    Sentence("llama_model_load: error loading model: error loading model hyperparameters: key not found in model: "
             "foo.context_length", "no-field", {"fields": ("foo.context_length",)}),
    Sentence("llama_model_load: error loading model: invalid model: tensor 'output.weight' is duplicated", "duplicate",
             {"names": ("output.weight",)}),
    Sentence("ValueError: Duplicated tensor name 'blk.0.ffn_up.weight'", "duplicate",
             {"names": ("blk.0.ffn_up.weight",)}),
    Sentence("gguf_init_from_file: failed to open GGUF file '/m/foo.gguf' (No such file or directory)", "no-file",
             {"files": ("/m/foo.gguf",)}),
    Sentence("ERROR:hf-to-gguf:Model FooForCausalLM is not supported", "no-architecture",
             {"fields": ("FooForCausalLM",)}),
    Sentence("NotImplementedError: Architecture 'FooForCausalLM' not supported!", "no-architecture",
             {"fields": ("FooForCausalLM",)}),
    Sentence("KeyError: \"could not find any of: ['num_hidden_layers', 'n_layers']\"", "no-field",
             {"fields": ("num_hidden_layers", "n_layers")}),
    Sentence("ValueError: Unprocessed experts: ['model.layers.3.mlp.experts.0.w1.weight']", "unexpected",
             {"names": ("model.layers.3.mlp.experts.0.w1.weight",)}),
    Sentence("Missing tensors: {'a.weight', 'b.weight'}", "no-tensor", {"names": ("a.weight", "b.weight")}),
    Sentence("llama_model_load: error loading model: vocabulary is of another world", "other",
             {"fields": ("vocabulary is of another world",)}),
]  # fmt: skip
OTHERS = [
    Sentence("AssertionError: The choosen size 1536 is not compatible with sharding on 7 shards", "divisible",
             {"numbers": (1536, 7), "program": "tgi"}),
    Sentence("ValueError: `num_heads` must be divisible by `num_shards` (got `num_heads`: 71 and `num_shards`: 2",
             "divisible", {"numbers": (71, 2)}),
    Sentence("RuntimeError: Cannot load `gptq` weight, make sure the model is already quantized", "quantisation",
             {"fields": ("gptq",)}),
    Sentence("ValueError: Unsupported model type foo6", "no-architecture", {"fields": ("foo6",)}),
    Sentence("Error: missing field `hidden_size` at line 30 column 1", "no-field", {"fields": ("hidden_size",)}),
    Sentence("UserWarning: Found missing adapter keys while loading the checkpoint: "
             "['base_model.model.a.lora_A.default.weight', 'base_model.model.a.lora_B.default.weight'].", "adapter",
             {"names": ("base_model.model.a.lora_A.default.weight", "base_model.model.a.lora_B.default.weight")}),
    Sentence("ValueError: Target modules {'q_proj', 'v_proj'} not found in the base model. Please check", "adapter",
             {"names": ("q_proj", "v_proj")}),
    Sentence("ValueError: Expected shape (4, 2) but received shape (2, 4) for parameter a.weight", "shape",
             {"names": ("a.weight",), "shapes": ((2, 4), (4, 2))}),
    Sentence("ValueError: Received 3 parameters not in model: \na.biases,\na.scales,\nb.scales.", "no-parameter",
             {"names": ("a.biases", "a.scales", "b.scales"), "numbers": (3,)}),
    Sentence("load error on `rope_freqs.weight` in a GGUF", "other", {"names": ("rope_freqs.weight",)}),
]  # fmt: skip
OTHERS += [
    Sentence("ValueError: q_proj.weight shape mismatch: expected (4096, 4096), got (1024, 4096)", "shape",
             {"names": ("q_proj.weight",), "shapes": ((1024, 4096), (4096, 4096))}),
    Sentence("ValueError: a.weight has shape [2, 3], expected [3, 2]", "shape",
             {"names": ("a.weight",), "shapes": ((2, 3), (3, 2))}),
    Sentence("AssertionError: Weight name 'model.layers.0.mlp.gate.bias' not in params_dict", "no-parameter",
             {"names": ("model.layers.0.mlp.gate.bias",)}),
    Sentence("ValueError: 28 heads cannot be split across 8 ranks", "divisible", {"numbers": (28, 8)}),
    Sentence("ValueError: tensor parallel size 16 must divide 40 heads", "divisible", {"numbers": (40, 16)}),
    Sentence("model-00003-of-00004.safetensors is missing", "no-file",
             {"files": ("model-00003-of-00004.safetensors",)}),
    Sentence("Missing tensor: blk.0.attn_q.weight", "no-tensor", {"names": ("blk.0.attn_q.weight",)}),
    Sentence("tensor model.norm.weight not found in checkpoint", "no-tensor", {"names": ("model.norm.weight",)}),
    Sentence("tensor model.norm.weight not found in the model", "no-parameter", {"names": ("model.norm.weight",)}),
]  # fmt: skip
PEOPLE = [
    Sentence(words, "garbage")
    for words in (
        "the output is just !!!!!!!!!!!!!!", "It outputs gibberish since the last merge", "model talks nonsense",
        "repeats the same token for ever", "keeps repeating itself", "the answers are garbled", "Output is garbage!",
        "it prints random tokens", "generates word salad after 20 tokens",
        "the outputs are wrong at tp 2 and right at tp 1", "模型输出乱码",
        "the answers look random", "output is all zeros", "perplexity exploded",
    )
]  # fmt: skip
PEOPLE.append(Sentence("hello hello hello hello hello", "garbage", {"fields": ("hello",)}))
EVERYTHING = [*VLLM, *SGLANG, *TORCH, *TRANSFORMERS, *SAFETENSORS, *LLAMA_CPP, *OTHERS, *PEOPLE]
