"""The engine of a simulated backend on a loopback port: slots, blocks and a prefix cache, in real time.

Simpler than `_engine.py`: a request that has a slot has all the blocks that it will ever need, so nobody
loses a slot. Without room for these blocks it waits, though slots may be free, as in a real server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hybridllm.testing._kv import BLOCK_TOKENS, Held, KvCache, blocks_for
from hybridllm.testing._metrics import Load


@dataclass(slots=True, eq=False)
class _Waiter:
    keys: Sequence[int]
    prompt_tokens: int
    blocks: int
    turn: asyncio.Future[tuple[Held, int]]


class RealEngine:
    """Requests that have a slot, and that wait for one in the order of their arrival.

    Attributes:
        load: What it is doing and has done.
    """

    def __init__(self, *, slots: int | None, kv_blocks: int) -> None:
        self.load = Load()
        self._slots = slots
        self._cache = KvCache(kv_blocks)
        self._queue: deque[_Waiter] = deque()

    def forget(self) -> None:
        """Forget every prompt; who is served keeps the blocks he has."""
        self._cache.forget()

    @asynccontextmanager
    async def slot(
        self, keys: Sequence[int], *, prompt_tokens: int, answer_tokens: int
    ) -> AsyncIterator[int]:
        """Hold a slot, after a wait if none is free, and tell how much of the prompt was in the cache."""
        blocks = min(blocks_for(prompt_tokens + answer_tokens), self._cache.blocks - 1)
        turn = asyncio.get_running_loop().create_future()
        waiter = _Waiter(keys[:blocks], prompt_tokens, blocks, turn)
        self._queue.append(waiter)
        self._admit()
        try:
            held, known = await turn
        except BaseException:
            if waiter in self._queue:
                self._queue.remove(waiter)
            elif turn.done() and not turn.cancelled():
                self._give_back(turn.result()[0])  # it was given a slot just as its client left
            self._admit()
            raise
        try:
            yield known * BLOCK_TOKENS
        finally:
            self._give_back(held)
            self._admit()

    def _give_back(self, held: Held) -> None:
        self.load.running -= 1
        self._cache.release(held)

    def _admit(self) -> None:
        load = self.load
        while self._queue and (self._slots is None or load.running < self._slots):
            first = self._queue[0]
            if first.turn.done():  # its client has left
                self._queue.popleft()
                continue
            known = self._cache.known(first.keys[: (first.prompt_tokens - 1) // BLOCK_TOKENS])
            held = self._cache.take(first.keys, known=known, blocks=first.blocks)
            if held is None:
                break
            self._queue.popleft()
            load.running += 1
            load.prefix_queries += first.prompt_tokens
            load.prefix_hits += known * BLOCK_TOKENS
            first.turn.set_result((held, known))
        load.waiting = len(self._queue)
        load.kv_used = self._cache.used


def total(loads: Sequence[Load]) -> Load:
    """Return what several engines do together; the cache is that of the fullest."""
    if len(loads) == 1:
        return loads[0]
    sums = Load(kv_used=max(load.kv_used for load in loads))
    for load in loads:
        sums.running += load.running
        sums.waiting += load.waiting
        sums.prompt_tokens += load.prompt_tokens
        sums.generation_tokens += load.generation_tokens
        sums.prefix_queries += load.prefix_queries
        sums.prefix_hits += load.prefix_hits
        sums.finished.update(load.finished)
    return sums
