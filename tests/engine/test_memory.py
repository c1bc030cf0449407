"""How much memory is free: as the system says, within the limits of whatever control groups the process is in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.memory import allocating, free_bytes

GIB = 1 << 30
UNLIMITED = 9223372036854771712
"""What version 1 says where there is no limit: the largest multiple of a page."""


def write(root: Path, files: dict[str, str]) -> Path:
    """A tree as under /, with 64 GiB available."""
    for name, text in {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:   {64 * GIB >> 10} kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(path: str, limit: object, used: int, dropped: int = 0, high: object = "max") -> dict[str, str]:
    """A group of version 2."""
    where = f"sys/fs/cgroup{path}"
    return {
        f"{where}/memory.max": f"{limit}\n", f"{where}/memory.high": f"{high}\n",
        f"{where}/memory.current": f"{used}\n",
        f"{where}/memory.stat": f"anon 7\ninactive_file {dropped}\nactive_file 3\n",
    }  # fmt: skip


def group_v1(path: str, limit: object, used: int, dropped: int = 0) -> dict[str, str]:
    where = f"sys/fs/cgroup/memory{path}"
    return {
        f"{where}/memory.limit_in_bytes": f"{limit}\n", f"{where}/memory.usage_in_bytes": f"{used}\n",
        f"{where}/memory.stat": f"inactive_file 1\ntotal_inactive_file {dropped}\n",
    }  # fmt: skip


def test_without_groups_it_is_what_linux_calls_available(tmp_path: Path) -> None:
    assert free_bytes("cpu", write(tmp_path, {})) == 64 * GIB


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        ({**group("/a/b", 8 * GIB, 3 * GIB)}, 5 * GIB),
        ({**group("/a/b", 8 * GIB, 3 * GIB, dropped=2 * GIB)}, 7 * GIB),
        ({**group("/a/b", "max", 3 * GIB), **group("/a", 6 * GIB, 4 * GIB)}, 2 * GIB),
        ({**group("/a/b", 8 * GIB, 3 * GIB), **group("/a", 90 * GIB, 4 * GIB)}, 5 * GIB),
        ({**group("/a/b", 8 * GIB, 3 * GIB, high=4 * GIB)}, 1 * GIB),
        ({**group("/a/b", 2 * GIB, 3 * GIB)}, 0),
        ({**group("/a/b", "max", 3 * GIB)}, 64 * GIB),
        ({**group("/a/b", 500 * GIB, 3 * GIB)}, 64 * GIB),
        ({**group("", 9 * GIB, 1 * GIB)}, 8 * GIB),
        ({**group("/other", 1 * GIB, 0)}, 64 * GIB),
    ],
    ids=["its own limit", "files count as free", "the group around it", "the lower of two", "held up before killed",
         "over its limit", "no limit", "more than there is", "a container's own, seen as the topmost", "of others"],
)  # fmt: skip
def test_the_lowest_limit_from_the_group_up_counts(groups: dict[str, str], free: int, tmp_path: Path) -> None:
    assert free_bytes("cpu", write(tmp_path, {"proc/self/cgroup": "0::/a/b\n", **groups})) == free


@pytest.mark.parametrize("path", ["/", "/../../elsewhere", "/docker/0123"])
def test_in_a_container_the_groups_around_it_are_not_to_be_seen(path: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root = write(tmp_path, {"proc/self/cgroup": f"0::{path}\n", **group("", 4 * GIB, 1 * GIB)})
    assert free_bytes("cpu", root) == 3 * GIB


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        (group_v1("/job", 8 * GIB, 3 * GIB, 1 * GIB), 6 * GIB),
        ({**group_v1("/job", UNLIMITED, 3 * GIB), **group_v1("", 5 * GIB, 3 * GIB)}, 2 * GIB),
        (group_v1("/job", UNLIMITED, 3 * GIB), 64 * GIB),
        ({**group_v1("", 5 * GIB, 3 * GIB), "sys/fs/cgroup/unified/cgroup.procs": "1"}, 2 * GIB),
    ],
)
def test_version_1_has_a_tree_of_its_own_for_memory(groups: dict[str, str], free: int, tmp_path: Path) -> None:
    """With version 2 beside it, which then knows nothing of memory."""
    lines = "12:cpu,cpuacct:/else\n5:memory:/job\n1:name=systemd:/a:b\n0::/system.slice\n"
    assert free_bytes("cpu", write(tmp_path, {"proc/self/cgroup": lines, **groups})) == free


@pytest.mark.parametrize("damage", ["", "half a\nline", "-1", "²", "::::", "\udcff"])
def test_a_tree_that_is_not_understood_limits_nothing(damage: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/a\n", **group("/a", 4 * GIB, 1 * GIB)})
    for name in ("proc/self/cgroup", "sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/memory.current"):
        before = (root / name).read_bytes()
        (root / name).write_bytes(damage.encode("utf-8", "surrogateescape"))
        assert free_bytes("cpu", root) == 64 * GIB, name
        (root / name).write_bytes(before)
    assert free_bytes("cpu", root) == 3 * GIB


@given(st.lists(st.tuples(st.integers(0, 80 * GIB), st.integers(0, 80 * GIB), st.integers(0, 80 * GIB)), max_size=5))
def test_it_is_the_least_of_all_there_is_to_say(levels: list[tuple[int, int, int]]) -> None:
    """Any hierarchy, against the definition."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path, files = "", dict[str, str]()
        for limit, used, dropped in levels:
            path += "/g"
            files |= group(path, limit, used, dropped)
        found = free_bytes("cpu", write(Path(folder), {"proc/self/cgroup": f"0::{path or '/'}\n", **files}))
    expected = [max(0, limit - max(0, used - dropped)) for limit, used, dropped in levels]
    assert found == min([64 * GIB, *expected])


@pytest.mark.parametrize(("known", "pages"), [(["SC_AVPHYS_PAGES", "SC_PHYS_PAGES"], 100), (["SC_PHYS_PAGES"], 900)])
def test_where_there_is_no_proc_the_systems_pages_are_counted(
    known: list[str], pages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has no count of free ones."""
    counts = {"SC_AVPHYS_PAGES": 100, "SC_PHYS_PAGES": 900, "SC_PAGE_SIZE": 16384}
    monkeypatch.setattr(os, "sysconf_names", dict.fromkeys([*known, "SC_PAGE_SIZE"], 0))
    monkeypatch.setattr(os, "sysconf", counts.__getitem__)
    assert free_bytes("cpu", tmp_path) == pages * 16384


def test_a_system_that_says_nothing_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf_names", {})
    with pytest.raises(OSError, match="does not say how much memory is free"):
        free_bytes("cpu", tmp_path)


def test_this_machine_has_some_and_no_more_than_it_has() -> None:
    assert 0 < free_bytes("cpu") <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# --- none left ---


def too_much() -> Any:
    return torch.empty(1 << 60, dtype=torch.uint8)


def test_what_the_allocator_of_a_cpu_says_becomes_one_line() -> None:
    with pytest.raises(RuntimeError) as plain:
        too_much()
    assert not isinstance(plain.value, MemoryError)
    with (
        pytest.raises(MemoryError, match=r"^no memory for x: 9 bytes, [\d,]+ are free on cpu; y makes it smaller$"),
        allocating("x: 9 bytes", "y makes it smaller", "cpu"),
    ):
        too_much()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee notes"),
     RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be")],
)  # fmt: skip
def test_so_does_what_a_gpu_says_of_its_memory_and_of_pinned_memory(error: RuntimeError) -> None:
    with pytest.raises(MemoryError, match=r"^no memory for x; y$") as caught, allocating("x", "y"):
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2$"), allocating("x", "y"):
        raise RuntimeError("mat1 and mat2")
