"""The KV cache of a simulated vLLM, in blocks: who holds how many, and which prompts are still known.

Pure bookkeeping. A block that holds a whole piece of a prompt stays known after its request has ended, until
its place is needed: the one that was not used for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

BLOCK_TOKENS = 32


@dataclass(slots=True)
class Held:
    """The blocks of one request.

    Attributes:
        keys: Of those that others may share: whole blocks of its prompt.
        own: How many more it has.
    """

    keys: list[int] = field(default_factory=list)
    own: int = 0

    @property
    def blocks(self) -> int:
        """All of them."""
        return len(self.keys) + self.own


class KvCache:
    """Blocks, some held, some only remembered.

    Attributes:
        blocks: As `num_gpu_blocks` says. One of them is vLLM's own, so one less can be held.
    """

    def __init__(self, blocks: int) -> None:
        if blocks < 2:
            raise ValueError(f"a KV cache has 2 blocks or more, of which vLLM keeps one: {blocks}")
        self.blocks = blocks
        self._blank = blocks - 1
        self._holders: dict[int, int] = {}
        self._remembered: OrderedDict[int, None] = OrderedDict()  # held by nobody, oldest first

    @property
    def used(self) -> float:
        """The share that is held, from 0 to 1; what is only remembered does not count."""
        free = self._blank + len(self._remembered)
        return 1.0 - free / (self.blocks - 1) if free < self.blocks - 1 else 0.0

    def known(self, keys: Sequence[int]) -> int:
        """Return how many of these blocks, from the first on, need not be computed again."""
        for count, key in enumerate(keys):
            if key not in self._holders and key not in self._remembered:
                return count
        return len(keys)

    def take(self, keys: Sequence[int], *, known: int, blocks: int) -> Held | None:
        """Hold blocks for a request; None if there are not enough.

        Args:
            keys: Of the whole blocks of its prompt.
            known: How many of these it finds there, from the first on.
            blocks: How many it needs in all.
        """
        found = keys[:known]
        unheld = sum(key in self._remembered for key in found)
        if blocks - known > self._blank + len(self._remembered) - unheld:
            return None
        for key in found:
            self._remembered.pop(key, None)
            self._holders[key] = self._holders.get(key, 0) + 1
        held = Held(list(found))
        for key in keys[known:blocks]:
            self._claim()
            if key in self._holders or key in self._remembered:
                held.own += (
                    1  # known already, but not from the first block on: nobody finds it twice
                )
            else:
                self._holders[key] = 1
                held.keys.append(key)
        while held.blocks < blocks:
            self._claim()
            held.own += 1
        return held

    def grow(self, held: Held) -> bool:
        """Give a request one block more. False: there is none."""
        if not self._blank and not self._remembered:
            return False
        self._claim()
        held.own += 1
        return True

    def release(self, held: Held) -> None:
        """Take a request's blocks back, and remember those that others may share."""
        self._blank += held.own
        for key in reversed(
            held.keys
        ):  # so that the end of a prompt is forgotten before its beginning
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self._remembered[key] = None
        held.keys, held.own = [], 0

    def forget(self) -> None:
        """Forget what nobody holds."""
        self._blank += len(self._remembered)
        self._remembered.clear()

    def _claim(self) -> None:
        """Take one free block."""
        if self._blank:
            self._blank -= 1
        else:
            self._remembered.popitem(last=False)


def blocks_for(tokens: int) -> int:
    """Return how many blocks so many tokens fill or begin."""
    return -(-tokens // BLOCK_TOKENS)


def prompt_keys(model: str, stream: Sequence[str]) -> tuple[int, ...]:
    """Return a key for each whole block of a prompt's tokens; equal for two as far as they begin alike."""
    key, keys = hash(model), []
    for start in range(0, len(stream) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        key = hash((key, *stream[start : start + BLOCK_TOKENS]))
        keys.append(key)
    return tuple(keys)
