"""Blocks: who holds them, who may share them, and which is reused first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cache.blocks import BlockPool, chained, root
from engine.sampling.params import Sampling
from engine.serving.sequence import Sequence
from tests.mappings.laws import law

SIZE = 4


def waiting(ids: str, number: int = 0, salt: int = 0) -> Sequence:
    """A sequence with a letter an id."""
    return Sequence(number, tuple(ids.encode()), Sampling(), salt)


def served(pool: BlockPool, ids: str, number: int = 0, salt: int = 0) -> Sequence:
    """One whose ids have all been computed."""
    sequence = waiting(ids, number, salt)
    assert pool.begin(sequence)
    compute(pool, sequence)
    return sequence


def compute(pool: BlockPool, sequence: Sequence) -> None:
    start, sequence.computed = sequence.computed, sequence.length
    pool.publish(sequence, start)


def cached(pool: BlockPool, ids: str, salt: int = 0) -> int:
    """How many of these ids would need no computing."""
    return len(pool.find(waiting(ids, salt=salt))) * pool.size


def test_a_full_block_is_shared_by_those_who_begin_alike() -> None:
    pool = BlockPool(8, SIZE)
    first = served(pool, "aaaabbbbcc")
    second = waiting("aaaabbbbdd", 1)
    assert pool.begin(second)
    assert second.computed == 2 * SIZE
    assert second.blocks[:2] == first.blocks[:2]
    assert second.blocks[2] != first.blocks[2]
    assert pool.available == 8 - 4
    pool.check_integrity([first, second])


def test_a_block_that_is_still_being_filled_is_nobody_elses() -> None:
    pool = BlockPool(8, SIZE)
    first = waiting("aaaabb")
    assert pool.begin(first)
    assert cached(pool, "aaaabbbb") == 0, "nothing is computed yet"
    compute(pool, first)
    assert cached(pool, "aaaabbbb") == SIZE
    first.ids += b"bb"
    compute(pool, first)
    assert cached(pool, "aaaabbbbc") == 2 * SIZE


def test_one_id_is_always_left_to_compute_in_a_block_of_its_own() -> None:
    pool = BlockPool(8, SIZE)
    first = served(pool, "aaaabbbb")
    second = served(pool, "aaaabbbb", 1)
    assert cached(pool, "aaaabbbb") == SIZE
    assert second.blocks[1] != first.blocks[1]
    pool.check_integrity([first, second])
    pool.free(first)
    pool.check_integrity([second])
    assert cached(pool, "aaaabbbbc") == 2 * SIZE, "one of two equal blocks is enough to be found"


def test_a_block_is_found_only_behind_the_same_ids_and_under_the_same_salt() -> None:
    pool = BlockPool(8, SIZE)
    served(pool, "aaaabbbbc", salt=1)
    assert cached(pool, "aaaabbbbc", salt=1) == 2 * SIZE
    assert cached(pool, "aaaabbbbc", salt=2) == 0
    assert cached(pool, "bbbbaaaac", salt=1) == 0
    assert cached(pool, "ccccbbbbc", salt=1) == 0


def test_hashes_tell_apart_what_differs_in_any_id_its_place_or_its_beginning() -> None:
    keys = [root(0), root(1), chained(root(0), [1, 2]), chained(root(1), [1, 2]), chained(root(0), [2, 1]),
            chained(root(0), [1, 2 + 2**32]), chained(chained(root(0), [1]), [2])]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_without_caching_nothing_is_shared() -> None:
    pool = BlockPool(8, SIZE, caching=False)
    pool.free(served(pool, "aaaabbbbc"))
    assert cached(pool, "aaaabbbbc") == 0
    second = served(pool, "aaaabbbbc")
    assert (pool.reused, pool.available) == (0, 5)
    pool.check_integrity([second])


def test_a_freed_block_is_found_until_it_is_reused_and_the_first_freed_goes_first() -> None:
    pool = BlockPool(4, SIZE)
    for ids in ("aaaa", "bbbb", "cccc", "dddd"):
        pool.free(served(pool, ids))
    assert pool.available == 4
    pool.free(served(pool, "aaaae"))  # takes the block of b, and uses that of a again
    assert [cached(pool, ids + "x") for ids in ("aaaa", "bbbb", "cccc", "dddd")] == [SIZE, 0, SIZE, SIZE]
    pool.free(served(pool, "f" * 8))  # takes the one that held e, then that of c
    assert [cached(pool, ids + "x") for ids in ("aaaa", "cccc", "dddd")] == [SIZE, 0, SIZE]


def test_the_end_of_a_sequence_is_forgotten_before_its_beginning() -> None:
    pool = BlockPool(3, SIZE)
    pool.free(served(pool, "aaaabbbbcccc"))
    other = served(pool, "dddd")
    assert cached(pool, "aaaabbbbccccx") == 2 * SIZE
    pool.check_integrity([other])


@pytest.mark.parametrize("spare", [0, 1])
def test_who_finds_too_few_blocks_takes_none_and_changes_nothing(spare: int) -> None:
    pool = BlockPool(5, SIZE)
    pool.free(served(pool, "aaaabbbb"))
    first = served(pool, "cccccc", 1)
    second = waiting("aaaabbbb" + "d" * (4 - 4 * spare), 2)  # all that there is, with the spare one
    third = waiting("aaaabbbb" + "d" * (5 - 4 * spare), 3)
    before = cached(pool, "aaaabbbbx")
    assert not pool.begin(third, spare)
    assert (third.blocks, third.computed, pool.available, cached(pool, "aaaabbbbx")) == ([], 0, 3, before)
    assert pool.begin(second, spare)
    assert pool.available == spare
    second.ids += b"d" * (SIZE * spare + 1)
    assert not pool.grow(second)
    assert pool.available == spare
    second.ids.pop()
    assert pool.grow(second)
    pool.check_integrity([first, second])


def test_a_pool_that_holds_nothing_is_refused() -> None:
    for count, size in ((0, 4), (4, 0), (-1, 4)):
        with pytest.raises(ValueError, match="expected at least one block"):
            BlockPool(count, size)


class Shelf:
    """The cache told more simply, for one sequence at a time: prefixes in the order of their freeing, no blocks."""

    def __init__(self, count: int) -> None:
        self.blank = count
        self.idle: list[tuple[int, str]] = []

    def find(self, ids: str, salt: int) -> list[tuple[int, str]]:
        wanted = [(salt, ids[:stop]) for stop in range(SIZE, len(ids), SIZE)]
        return list(takewhile(lambda prefix: prefix in self.idle, wanted))

    def serve(self, ids: str, salt: int) -> int | None:
        """How many blocks are found; None where it does not fit."""
        found = self.find(ids, salt)
        fresh = -(-len(ids) // SIZE) - len(found)
        if fresh > self.blank + len(self.idle) - len(found):
            return None
        self.idle = [prefix for prefix in self.idle if prefix not in found]
        reused = max(0, fresh - self.blank)
        self.blank -= fresh - reused
        del self.idle[:reused]
        full = [(salt, ids[:stop]) for stop in range(SIZE, len(ids) + 1, SIZE)]
        freed = [prefix for prefix in reversed(full) if prefix not in self.idle]
        self.idle += freed
        self.blank += fresh + len(found) - len(freed)
        return len(found)


prompts = st.builds(
    lambda salt, start, tail: (("aaaabbbbaaaacccc"[:start] + tail) or "a", salt),
    st.integers(0, 1), st.integers(0, 16), st.text("abc", max_size=9),
)  # fmt: skip


@law
@given(st.integers(1, 9), st.lists(prompts, max_size=30))
def test_what_is_found_is_what_a_plain_list_of_prefixes_remembers(count: int, requests: list[tuple[str, int]]) -> None:
    pool, shelf = BlockPool(count, SIZE), Shelf(count)
    for ids, salt in requests:
        sequence = waiting(ids, salt=salt)
        expected = shelf.serve(ids, salt)
        assert pool.begin(sequence) == (expected is not None)
        assert sequence.computed == (expected or 0) * SIZE
        if expected is not None:
            compute(pool, sequence)
            pool.check_integrity([sequence])
            pool.free(sequence)
        pool.check_integrity([])
        assert pool.available == count
        for each, under in requests:
            assert cached(pool, each, under) == SIZE * len(shelf.find(each, under))


def leak(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.blocks.pop()


def share_unpublished(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    other.blocks[-1] = one.blocks[-1]
    pool._holders[one.blocks[-1]] += 1


def hold_twice(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.blocks[1] = one.blocks[0]


def free_what_is_held(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    pool._blank.append(one.blocks[0])


def lose_a_free_one(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    pool._blank.pop()


def publish_too_early(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.computed = 1


def other_ids(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.ids[0] += 1


def other_salt(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.salt += 1


def point_elsewhere(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    pool._published[next(iter(pool._published))] = other.blocks[-1]


def compute_without_blocks(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.computed += SIZE


def invent(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    one.blocks.append(pool.count)


def shelve_wrongly(pool: BlockPool, one: Sequence, other: Sequence) -> None:
    pool._idle[pool._blank.pop()] = None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (leak, "is in 0 tables and counted as held by 1"),
        (share_unpublished, "shared and not published"),
        (hold_twice, "has a block twice"),
        (free_what_is_held, "times among the free ones"),
        (lose_a_free_one, "0 times among the free ones"),
        (publish_too_early, "is published and not full"),
        (other_ids, "under the hash of other ids"),
        (other_salt, "under the hash of other ids"),
        (point_elsewhere, "under a hash that is not its own"),
        (compute_without_blocks, "ids computed and 3 blocks"),
        (invent, "is in a table, and there are 8"),
        (shelve_wrongly, "among the wrong free ones"),
    ],
)
def test_every_damage_to_the_books_is_noticed(
    damage: Callable[[BlockPool, Sequence, Sequence], None], said: str
) -> None:
    pool = BlockPool(8, SIZE)
    one, other = served(pool, "aaaabbbbcc"), served(pool, "aaaaddddee", 1)
    pool.check_integrity([one, other])
    damage(pool, one, other)
    with pytest.raises(AssertionError, match=said):
        pool.check_integrity([one, other])
