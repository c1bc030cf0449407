"""Logs: which process says what is seen through all that stands before it, and the cause is told from what follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tracer.complaints.logs import (
    AROUND,
    LOADER,
    MISSING,
    SHUTDOWN,
    STARTED,
    interleaved,
    said_by,
    told,
    traceback,
    vllm_of_eight,
    worker,
)  # fmt: skip
from tracer.complaints import read_error, read_log
from tracer.errors import InputError


@pytest.mark.parametrize("around", AROUND.values(), ids=list(AROUND))
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_what_eight_ranks_say_through_each_other_is_one_complaint(
    tmp_path: Path, around: Callable[[str], str], end: str
) -> None:
    lines = vllm_of_eight()
    found = told(tmp_path, map(around, lines), end)
    assert [(each.kind, each.names, each.times) for each in found.complaints] == [("no-parameter", (MISSING,), 8)]
    assert found.complaints[0].text == f"KeyError: '{MISSING}'"
    assert (found.program, found.lines) == ("vllm", len(lines))
    first = next(number for number, line in enumerate(lines, 1) if "KeyError" in line)
    assert (found.complaints[0].line, found.complaints[0].program) == (first, "vllm")


def test_the_rank_that_said_it_first_is_named(tmp_path: Path) -> None:
    [complaint] = told(tmp_path, [*worker(5), *worker(2)]).complaints
    assert (complaint.rank, complaint.times) == (5, 2)


def test_settings_come_from_the_start_up_line(tmp_path: Path) -> None:
    found = told(tmp_path, [STARTED])
    assert (found.program, found.version, found.complaints) == ("vllm", "0.11.0", ())
    assert found.settings == {
        "model": "acme/Foo-7B", "dtype": "bfloat16", "load_format": "auto", "tensor_parallel_size": "8",
        "pipeline_parallel_size": "1", "quantization": "fp8", "kv_cache_dtype": "fp8_e4m3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "program", "settings"),
    [
        ("+ vllm serve acme/Foo-7B --tensor-parallel-size 4 --dtype float16", "vllm",
         {"model": "acme/Foo-7B", "tensor_parallel_size": "4", "dtype": "float16"}),
        ("+ vllm serve acme/Foo-7B -tp 8 --quantization=awq", "vllm",
         {"model": "acme/Foo-7B", "tensor_parallel_size": "8", "quantization": "awq"}),
        ("python -m sglang.launch_server --model-path /models/foo --tp-size 2", "sglang",
         {"model": "/models/foo", "tensor_parallel_size": "2"}),
        ("python3 -m sglang.launch_server --model-path /models/foo --tp 2 --kv-cache-dtype fp8_e5m2", "sglang",
         {"model": "/models/foo", "tensor_parallel_size": "2", "kv_cache_dtype": "fp8_e5m2"}),
        ("[2025-01-01 10:00:00] server_args=ServerArgs(model_path='acme/Foo', tokenizer_path='acme/Foo', "
         "load_format='auto', dtype='auto', kv_cache_dtype='auto', quantization=None, tp_size=16, dp_size=1)", "sglang",
         {"model": "acme/Foo", "load_format": "auto", "dtype": "auto", "kv_cache_dtype": "auto",
          "tensor_parallel_size": "16", "data_parallel_size": "1"}),
        ('2024-01-01T10:00:00Z  INFO text_generation_launcher: Args { model_id: "acme/Foo", revision: None, '
         "num_shard: Some(2), quantize: Some(Gptq), dtype: None }", "tgi",
         {"model": "acme/Foo", "tensor_parallel_size": "2", "quantization": "Gptq"}),
        ("INFO 08-01 10:00:00 api_server.py:340] vLLM API server version 0.5.4", "vllm", {}),
    ],
)  # fmt: skip
def test_settings_of_each_engine(tmp_path: Path, line: str, program: str, settings: dict[str, str]) -> None:
    found = told(tmp_path, [line])
    assert (found.program, found.settings) == (program, settings)


def test_sglang_puts_its_prefix_before_the_first_line_only(tmp_path: Path) -> None:
    frames = [
        'File "/sgl/python/sglang/srt/models/llama.py", line 620, in load_weights',
        "    param = params_dict[name]",
    ]
    lines = [
        line for rank in (3, 1)
        for line in (
            f"[2025-01-01 10:00:00 DP0 TP{rank} EP{rank}] Scheduler hit an exception: Traceback (most recent call"
            f" last):",
            *(f"  {frame}" for frame in frames), f"KeyError: '{MISSING}'", "",
        )
    ]  # fmt: skip
    found = told(tmp_path, [*lines, "[2025-01-01 10:00:01] Received sigquit from a child process. It usually means"])
    [complaint] = found.complaints
    assert (complaint.kind, complaint.names, complaint.rank, complaint.times) == ("no-parameter", (MISSING,), 3, 2)
    assert found.program == "sglang"


def test_the_innermost_of_chained_exceptions_is_the_cause(tmp_path: Path) -> None:
    lines = [
        *traceback("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"), "",
        "During handling of the above exception, another exception occurred:", "",
        *traceback("OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /m."), "",
        "The above exception was the direct cause of the following exception:", "",
        *traceback("RuntimeError: Cannot find any model weights with `/m`"),
    ]  # fmt: skip
    found = told(tmp_path, said_by("[rank1]: ", lines))
    assert [each.kind for each in found.complaints] == ["header", "no-file", "no-file"]
    assert {each.rank for each in found.complaints} == {1}


def test_warnings_come_after_errors_even_where_they_were_said_before(tmp_path: Path) -> None:
    warning = "Some weights of FooForCausalLM were not initialized from the model checkpoint at /m and are newly " \
              "initialized: ['score.weight']"  # fmt: skip
    found = told(tmp_path, [f"WARNING {warning}", *traceback("KeyError: 'layers.0.mlp.w13_bias'")])
    assert [each.kind for each in found.complaints] == ["no-parameter", "no-tensor"]


@pytest.mark.parametrize("noise", [SHUTDOWN, traceback("KeyboardInterrupt"), traceback("BrokenPipeError: [Errno 32]")])
def test_shutdown_noise_is_no_complaint(tmp_path: Path, noise: list[str]) -> None:
    found = told(tmp_path, noise)
    assert (found.complaints, found.lines) == ((), len(noise))


def test_an_error_that_nobody_knows_is_told_as_it_is(tmp_path: Path) -> None:
    out_of_memory = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    [complaint] = told(tmp_path, [*traceback(out_of_memory), *SHUTDOWN]).complaints
    assert (complaint.kind, complaint.text) == ("other", out_of_memory)


def test_what_a_leader_repeats_counts_only_where_the_worker_was_not_heard(tmp_path: Path) -> None:
    echo = (
        f"RuntimeError: Worker failed with error ''{MISSING}'', please check the stack trace above for the root cause"
    )
    repeated = said_by("(EngineCore_0 pid=1) ERROR 11-20 10:11:12 [core.py:390] ", traceback(echo))
    [alone] = told(tmp_path, repeated).complaints
    assert (alone.kind, alone.names, alone.rank) == ("no-parameter", (MISSING,), None)
    [both] = told(tmp_path, [*worker(3), *repeated]).complaints
    assert (both.names, both.rank, both.times) == ((MISSING,), 3, 1)


def test_ray_says_how_often_it_left_a_line_out(tmp_path: Path) -> None:
    start = "(RayWorkerWrapper pid=77, ip=10.0.0.2) "
    lines = said_by(start, traceback(f"KeyError: '{MISSING}'"))
    lines.append(f"{start}KeyError: '{MISSING}' [repeated 7x across cluster] (Ray deduplicates logs by default.)")
    [complaint] = told(tmp_path, lines).complaints
    assert (complaint.names, complaint.times) == ((MISSING,), 8)


def test_mismatches_of_one_state_dict_are_each_told(tmp_path: Path) -> None:
    lines = said_by("[rank0]: ", traceback(
        "RuntimeError: Error(s) in loading state_dict for FooForCausalLM:\n"
        '\tMissing key(s) in state_dict: "model.a.weight", "model.b.weight". \n'
        '\tUnexpected key(s) in state_dict: "module.a.weight". \n'
        "\tsize mismatch for lm_head.weight: copying a param with shape torch.Size([8, 4]) from checkpoint, the"
        " shape in "
        "current model is torch.Size([6, 4])."))  # fmt: skip
    found = told(tmp_path, lines)
    assert [(each.kind, each.names, each.shapes) for each in found.complaints] == [
        ("no-tensor", ("model.a.weight", "model.b.weight"), ()),
        ("unexpected", ("module.a.weight",), ()),
        ("shape", ("lm_head.weight",), ((8, 4), (6, 4))),
    ]
    assert all(each.rank == 0 and each.program == "torch" for each in found.complaints)


def test_a_list_may_go_over_lines_while_another_process_speaks(tmp_path: Path) -> None:
    names = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(40)]
    mine = [f"ValueError: Following weights were not initialized from checkpoint: {{'{names[0]}',",
            *(f" '{name}'," for name in names[1:-1]), f" '{names[-1]}'}}"]  # fmt: skip
    other = ["INFO 11-20 10:11:12 [gpu.py:1] still here"] * 60
    lines = interleaved(said_by("(Worker_TP3 pid=9) ", mine), said_by("(Worker_TP0 pid=8) ", other))
    [complaint] = told(tmp_path, lines).complaints
    assert (complaint.kind, complaint.names, complaint.rank) == ("no-tensor", tuple(names), 3)


def test_what_is_said_once_for_each_name_is_one_complaint(tmp_path: Path) -> None:
    names = [f"model.layers.{layer}.mlp.experts.w13_weight" for layer in range(30)]
    lines = [f"[2025-01-01 10:00:00 TP{rank}] Parameter {name} not found in params_dict"
             for name in names for rank in range(4)]  # fmt: skip
    [complaint] = told(tmp_path, lines).complaints
    assert (complaint.kind, complaint.names, complaint.times) == ("no-parameter", tuple(names), 4)


def test_the_report_of_transformers_5_is_read_as_a_table(tmp_path: Path) -> None:
    lines = [
        "FooForCausalLM LOAD REPORT from: /m",
        "Key                            | Status     | ",
        "-------------------------------+------------+-",
        "\x1b[1mmodule.layers.{0, 1}.mlp.weight | \x1b[38;5;208mUNEXPECTED\x1b[0m | ",
        "layers.{0...2}.mlp.weight      | MISSING    | ",
        "lm_head.weight                 | MISMATCH   | Reinit due to size mismatch - ckpt: torch.Size([8, 4]) vs "
        "model:torch.Size([6, 4])",
        "", "Notes:", "- UNEXPECTED:\tcan be ignored when loading from different task/architecture",
    ]  # fmt: skip
    found = told(tmp_path, lines)
    assert [(each.kind, each.names, each.shapes) for each in found.complaints] == [
        ("unexpected", ("module.layers.0.mlp.weight", "module.layers.1.mlp.weight"), ()),
        ("no-tensor", tuple(f"layers.{layer}.mlp.weight" for layer in range(3)), ()),
        ("shape", ("lm_head.weight",), ((8, 4), (6, 4))),
    ]


def test_llama_cpp_says_shapes_from_the_inside_out(tmp_path: Path) -> None:
    found = told(tmp_path, [
        "0.00.132.623 I llama_model_loader: loaded meta data with 25 key-value pairs and 291 tensors from foo.gguf",
        "0.00.132.623 E llama_model_load: error loading model: check_tensor_dims: tensor 'token_embd.weight' has wrong "
        "shape; expected  4096, 32005, got  384, 32000,     1,     1",
        "0.00.132.700 E llama_model_load_from_file_impl: failed to load model",
    ])  # fmt: skip
    [complaint] = found.complaints
    assert (complaint.names, complaint.shapes) == (("token_embd.weight",), ((32000, 384), (32005, 4096)))
    assert found.program == "llama.cpp"


def test_a_line_of_json_is_read_as_the_lines_that_it_holds(tmp_path: Path) -> None:
    inner = "\\n".join(line.replace('"', '\\"') for line in traceback(f"KeyError: '{MISSING}'"))
    [complaint] = told(tmp_path, [f'{{"level":"error","message":"{inner}","time":"2025-11-20T10:11:12Z"}}']).complaints
    assert (complaint.kind, complaint.names, complaint.line) == ("no-parameter", (MISSING,), 1)


def test_the_line_of_code_tells_what_was_searched(tmp_path: Path) -> None:
    def kind(code: str, key: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        frames = ['File "/x/y.py", line 3, in f', f"    {code}"]
        [complaint] = told(tmp_path, traceback(f"KeyError: '{key}'", frames)).complaints
        return complaint.kind, complaint.names, complaint.fields

    assert kind("param = params_dict[name]", "a.b.weight") == ("no-parameter", ("a.b.weight",), ())
    assert kind("tensor = state_dict[name]", "a.b.weight") == ("no-tensor", ("a.b.weight",), ())
    assert kind("scheme = quant_description[name]", "a.b.weight") == ("no-tensor", ("a.b.weight",), ())
    assert kind('n = self.hparams["n_layers"]', "n_layers") == ("no-field", (), ("n_layers",))
    assert kind('cls = CONFIG_MAPPING[config["model_type"]]', "foo3_moe") == ("no-architecture", (), ("foo3_moe",))
    assert kind("dtype = _TYPES[name]", "F8_E8M0") == ("dtype", (), ("F8_E8M0",))


def test_a_bare_assertion_says_what_its_code_says(tmp_path: Path) -> None:
    frames = ['File "/v/vllm/model_executor/layers/linear.py", line 3, in weight_loader',
              "    assert param_data.shape == loaded_weight.shape", "           ^^^^^^^^^^"]  # fmt: skip
    [complaint] = told(tmp_path, traceback("AssertionError", frames)).complaints
    assert (complaint.kind, complaint.fields) == ("shape", ("param_data.shape", "loaded_weight.shape"))


def test_a_traceback_without_its_beginning_is_still_one() -> None:
    """The line of code that raises is not what is said."""
    text = "\n".join(traceback(
        "ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (16).",
        ['File "/v/vllm/config.py", line 9, in verify', "    raise ValueError("])[1:])  # fmt: skip
    [complaint] = read_error(text).complaints
    assert (complaint.kind, complaint.numbers) == ("divisible", (40, 16))


def test_a_group_of_exceptions_and_a_box_of_rich_are_seen_through(tmp_path: Path) -> None:
    group = ["  + Exception Group Traceback (most recent call last):", *(f"  |   {frame}" for frame in LOADER),
             f"  | KeyError: '{MISSING}'", "  +------------------------------------"]  # fmt: skip
    box = ["╭───────── Traceback (most recent call last) ─────────╮", "│ /v/vllm/linear.py:12 in weight_loader │",
           "│ ❱ 12 │   assert param_data.shape == loaded_weight.shape │", "╰──────────╯",
           f"KeyError: '{MISSING}'"]  # fmt: skip
    for lines in (group, box):
        assert [(each.kind, each.names) for each in told(tmp_path, lines).complaints] == [("no-parameter", (MISSING,))]


def test_what_users_ask_is_not_what_the_engine_says(tmp_path: Path) -> None:
    asked = "INFO 11-20 10:11:12 [logger.py:42] Received request cmpl-1: prompt: \"why KeyError: 'model.norm.weight'?\""
    assert (
        told(tmp_path, [STARTED, asked, "INFO: 127.0.0.1:5 - POST /v1/completions 200 OK gibberish"]).complaints == ()
    )


@pytest.mark.parametrize("lines", [[], ["INFO all is well"], ["x" * 1_000_000], ["\x00" * 5_000], [""] * 10])
def test_a_log_without_a_complaint_is_empty_and_its_lines_are_counted(tmp_path: Path, lines: list[str]) -> None:
    found = told(tmp_path, lines)
    assert (found.complaints, found.settings, found.lines) == ((), {}, len(lines))


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(f"fine\nKeyError: '{MISSING}'")
    assert (read_log(path).lines, read_log(path).complaints[0].line) == (2, 2)


def test_a_complaint_at_the_end_of_a_very_long_line_is_bounded(tmp_path: Path) -> None:
    [complaint] = told(tmp_path, [f"KeyError: '{MISSING}' " + "x" * 1_000_000, *LOADER]).complaints
    assert (complaint.names, len(complaint.text)) == ((MISSING,), 500)


@pytest.mark.parametrize("what", ["a folder", "nothing", "an empty path", "a path with a NUL"])
def test_what_is_no_readable_file_is_said_in_one_line(tmp_path: Path, what: str) -> None:
    path = {"a folder": tmp_path, "nothing": tmp_path / "no.log", "an empty path": Path(""),
            "a path with a NUL": tmp_path / "a\0b"}[what]  # fmt: skip
    with pytest.raises(InputError) as error:
        read_log(path)
    assert "\n" not in str(error.value) and len(str(error.value)) > 10
