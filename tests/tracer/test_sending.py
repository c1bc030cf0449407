"""Notes on their way: into a file, out of it from near and far, and what is no note."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.errors import InputError
from tracer.recorder import Note, Spool, read_spool
from tracer.sending import Tail, read_sent


def test_a_spool_is_read_in_batches_from_near_and_far(tmp_path: Path) -> None:
    path, copy = tmp_path / "notes", tmp_path / "copy"
    tail = Tail(path)
    assert tail() == b""
    views = 3, (2, 2), (4, 1), 0, (2, 1)
    notes: list[Note] = [
        ["file", "/m", 1, 2, 3], ["param", "p", (2, 2), (2, 1), "torch.float32", None],
        ["move", "t", "p", "row", 0, None, *views], ["move", "t", "p", "row", "q", "neg_exp", *views],
        ["pad", "p", 0.0, "why", 0, (2,), (1,)],
    ]  # fmt: skip
    sent = b""
    with Spool(path) as spool:
        for note in notes:
            spool(note)
            spool.flush()
            sent += tail()
    sent += tail()
    copy.write_bytes(sent[:-1])
    assert [note for batch in read_spool(path) for note in batch] == notes
    assert [note for batch in read_sent(copy, 1) for note in batch] == notes, "only the empty last batch was cut"
    copy.write_bytes(path.read_bytes()[:-1])
    assert [note for batch in read_spool(copy) for note in batch] == notes


def test_a_full_disk_under_the_notes_of_a_rank_names_their_file(tmp_path: Path) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "notes").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught, Spool(tmp_path / "notes") as spool:
        spool(["param"])
    assert caught.value.filename == str(tmp_path / "notes")


@pytest.mark.parametrize("garbage", [
    b"\xff\xfe\n", b"{\n", b"5\n", b"[[]]\n", b'[["paramx"]]\n', b'[["param", "p"]]\n',
    b'[["file", "f", 1, 2, true]]\n',
    b'[["pad", "p", 0.0, "why", 0, [2.5], [1]]]\n', b'[["pad", "p", 0.0, "why", 0, 7, [1]]]\n', b"[" * 100_000 + b"\n",
])  # fmt: skip
def test_what_comes_from_another_machine_and_is_no_note_is_one_line(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "notes").write_bytes(garbage)
    with pytest.raises(InputError, match=r"^rank 3: expected its notes, found something else: ") as caught:
        list(read_sent(tmp_path / "notes", 3))
    assert "\n" not in str(caught.value)
