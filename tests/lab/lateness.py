"""How late this machine is: a limit on wall time is for a loop that is healthy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_TICK_S = 0.005


@dataclass
class Lateness:
    """By how much timers of the event loop were late, at worst."""

    worst_s: float = 0.0


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Watch the loop for the length of the block: `took_s <= 0.05 + late.worst_s`."""
    loop = asyncio.get_running_loop()
    late = Lateness()

    async def tick() -> None:
        while True:
            due_s = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            late.worst_s = max(late.worst_s, loop.time() - due_s)

    ticking = loop.create_task(tick(), name="lateness")
    try:
        yield late
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
