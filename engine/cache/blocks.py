"""Which block of the cache belongs to whom; what is in it is not known here.

The keys and values of a sequence lie in blocks of `size` tokens, anywhere in the cache (PagedAttention, Kwon et al.,
arXiv 2309.06180). A block that is full is published under a hash of all ids up to its end, and whoever begins with
the same ids shares it. Nobody writes to a full block, so a shared block is never written to.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from engine.serving.sequence import Sequence


class BlockPool:
    """`count` numbered blocks of `size` tokens, and how many sequences hold each."""

    def __init__(self, count: int, size: int, caching: bool = True) -> None:
        """`caching`: whether blocks are published and shared. Raises ValueError for a pool that holds nothing."""
        if count < 1 or size < 1:
            raise ValueError(f"cache: expected at least one block of at least one token, found {count} of {size}")
        self.count = count
        self.size = size
        self.caching = caching
        self.reused = 0
        """Ids that needed no computing, over all sequences that began."""
        self._holders = [0] * count
        self._keys: list[bytes | None] = [None] * count
        self._published: dict[bytes, int] = {}
        self._blank = list(reversed(range(count)))
        """Held by nobody, nothing in them."""
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Held by nobody, still published; the one that was freed first is reused first."""

    @property
    def available(self) -> int:
        """Blocks that nobody holds, the published ones among them included."""
        return len(self._blank) + len(self._idle)

    @property
    def capacity(self) -> int:
        """Tokens in all."""
        return self.count * self.size

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.size)

    def begin(self, sequence: Sequence, spare: int = 0) -> bool:
        """Give it blocks for all its ids, published ones first, and set `computed` to what these hold.

        False, and nothing taken, where fewer than `spare` blocks would be left. At least one id stays to be computed,
        and it never lies in a shared block.
        """
        if self.available <= spare:  # what is left to compute needs a block of its own: no need to look for others
            return False
        found = self.find(sequence)
        fresh = self.blocks_for(sequence.length) - len(found)
        if fresh + sum(block in self._idle for block in found) + spare > self.available:
            return False
        self._share(found)
        sequence.blocks = found + [self._take() for _ in range(fresh)]
        sequence.computed = len(found) * self.size
        self.reused += sequence.computed
        return True

    def grow(self, sequence: Sequence) -> bool:
        """Give it blocks for the ids that have come since; False, and nothing taken, where there are too few."""
        missing = self.blocks_for(sequence.length) - len(sequence.blocks)
        if missing > self.available:
            return False
        sequence.blocks += [self._take() for _ in range(missing)]
        return True

    def publish(self, sequence: Sequence, start: int) -> None:
        """Let others find the blocks that its ids from `start` to `computed` have filled."""
        if not self.caching:
            return
        for index in range(start // self.size, sequence.computed // self.size):
            key, block = self._key(sequence, index), sequence.blocks[index]
            if key not in self._published:  # else another sequence has computed the same meanwhile
                self._published[key] = block
                self._keys[block] = key

    def find(self, sequence: Sequence) -> list[int]:
        """The published blocks that it could begin with, short of its last id. They are not taken by that."""
        found: list[int] = []
        for index in range((sequence.length - 1) // self.size if self.caching else 0):
            block = self._published.get(self._key(sequence, index))
            if block is None:
                break
            found.append(block)
        return found

    def free(self, sequence: Sequence) -> None:
        """Take all its blocks back; those that are published stay to be found until they are reused."""
        for block in reversed(sequence.blocks):  # a block is of no use without those before it, so it goes first
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if self._keys[block] is None:
                self._blank.append(block)
            else:
                self._idle[block] = None
        sequence.blocks = []
        sequence.computed = 0

    def check_integrity(self, sequences: Iterable[Sequence]) -> None:
        """Raises AssertionError with all that is wrong, where `sequences` are all that may hold a block."""
        faults = list(self._faults(list(sequences)))
        if faults:
            raise AssertionError("; ".join(faults))

    def _take(self) -> int:
        if self._blank:
            block = self._blank.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            key = self._keys[block]
            assert key is not None
            del self._published[key]
            self._keys[block] = None
        self._holders[block] = 1
        return block

    def _share(self, blocks: list[int]) -> None:
        for block in blocks:
            self._idle.pop(block, None)
            self._holders[block] += 1

    def _key(self, sequence: Sequence, index: int) -> bytes:
        """The hash of its block `index`, whose ids are all there."""
        keys = sequence.keys
        for known in range(len(keys), index + 1):
            parent = keys[-1] if keys else root(sequence.salt)
            keys.append(chained(parent, sequence.ids[known * self.size : (known + 1) * self.size]))
        return keys[index]

    def _faults(self, sequences: list[Sequence]) -> Iterator[str]:
        yield from self._miscounted(sequences)
        yield from self._misfiled()
        for sequence in sequences:
            yield from self._misplaced(sequence)

    def _miscounted(self, sequences: list[Sequence]) -> Iterator[str]:
        """Tables against counts."""
        held = Counter(block for sequence in sequences for block in sequence.blocks)
        for block in held.keys() - set(range(self.count)):
            yield f"block {block} is in a table, and there are {self.count}"
        for block, holders in enumerate(self._holders):
            if held[block] != holders:
                yield f"block {block} is in {held[block]} tables and counted as held by {holders}"

    def _misfiled(self) -> Iterator[str]:
        """Counts against the lists of free blocks, and those against the hashes."""
        free = Counter([*self._blank, *self._idle])
        for block, (holders, key) in enumerate(zip(self._holders, self._keys, strict=True)):
            if free[block] != (holders == 0):
                yield f"block {block}, held by {holders}, is {free[block]} times among the free ones"
            if free[block] and (block in self._idle) != (key is not None):
                yield f"block {block} is among the wrong free ones for {'a published' if key else 'an unpublished'} one"
            if key is not None and self._published.get(key) != block:
                yield f"block {block} has a hash under which block {self._published.get(key)} is found"
        for key, block in self._published.items():
            if self._keys[block] != key:
                yield f"block {block} is found under a hash that is not its own"

    def _misplaced(self, sequence: Sequence) -> Iterator[str]:
        """A table against its ids: what is published must be full and what they hash to, what is shared published."""
        name = f"sequence {sequence.number}"
        if len(set(sequence.blocks)) < len(sequence.blocks):
            yield f"{name} has a block twice: {sequence.blocks}"
        if sequence.computed > len(sequence.blocks) * self.size:
            yield f"{name} has {sequence.computed} ids computed and {len(sequence.blocks)} blocks of {self.size}"
        key = root(sequence.salt)
        for index, block in enumerate(block for block in sequence.blocks if block < self.count):
            stop = (index + 1) * self.size
            key = chained(key, sequence.ids[stop - self.size : stop])
            if self._keys[block] is None:
                if self._holders[block] > 1:
                    yield f"block {block} of {name} is shared and not published"
            elif stop > sequence.computed:
                yield f"block {block} of {name} is published and not full"
            elif self._keys[block] != key:
                yield f"block {block} of {name} is published under the hash of other ids"


def root(salt: int) -> bytes:
    """What stands in for the hash of the block before the first one."""
    return blake2b(str(salt).encode(), digest_size=32, person=b"salt").digest()


def chained(parent: bytes, ids: list[int]) -> bytes:
    """The hash of a block: of the one before it and its own ids (int64). At 256 bits, equal means the same ids."""
    return blake2b(parent + array("q", ids).tobytes(), digest_size=32, person=b"block").digest()
