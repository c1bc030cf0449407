"""Following a load of several processes that torchrun started."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests import several, small_llama
from tests.several import FAULTY
from tests.tui.model.test_following import ended, until
from tracer.shares import stored_shares
from tracer.store import Store
from tui.model.follow.following import Following


def test_under_torchrun_a_load_of_several_ranks_is_followed_as_any_other(tmp_path: Path) -> None:
    """Rank 0 leads: what the other rank has done so far comes from another process that torchrun started."""
    (tmp_path / "model").mkdir()
    model, trace = small_llama.write(tmp_path / "model"), tmp_path / "t.db"
    command: list[str | Path] = [*FAULTY, "load", model, "--tp", "2", "--device", "cpu", "--quiet", "--save", trace]
    with closing(Following(trace)) as following:
        (agent,) = several.torchrun(command, 1, 2, {"FAULT": "TakesItsTime", "PACE": "0.07"})
        seen = until(following, lambda progress: ended(progress) or agent.poll() is not None)
        done_well = several.finish(agent)
        seen += until(following, ended) if done_well.status == 0 else []
    assert done_well.status == 0, done_well.err
    states = list(dict.fromkeys(progress.state for progress in seen))
    assert states in (["absent", "running", "done"], ["running", "done"])
    loading = [progress for progress in seen if progress.state == "running" and progress.shares]
    assert all(progress.alive for progress in loading)
    with closing(Store.open(trace)) as store:
        done = stored_shares(store)
        assert [share.rank for share in done] == [0, 1]
    for rank, whole in enumerate(done):
        shares = [progress.shares[rank] for progress in loading]
        assert {(share.planned_moves, share.planned_bytes) for share in shares} == {(whole.moves, whole.nbytes)}
        moves = [share.moves for share in shares]
        assert moves == sorted(moves) and moves[-1] <= whole.moves
        assert len(set(moves)) > 2, f"rank {rank} was seen to move"
    last = seen[-1]
    assert [(share.rank, share.moves, share.nbytes) for share in last.shares] == [
        (share.rank, share.moves, share.nbytes) for share in done
    ]
    assert (last.fraction, last.standing and last.standing.tp) == (1.0, 2)
