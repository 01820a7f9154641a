"""Three backends behind one router, as the fault catalogue has them: over sockets, or in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hybridllm.testing import Reply
from runtime.world import Replies, Script, World, policy, scripted, world

THREE = ("eu-1", "eu-2", "vllm")
# The catalogue's limits (connect 2 s, first token 10 s, idle 20 s), so short that a test can wait for them;
# a row that is about one of them has a shorter one still.
TIMEOUTS = "total: 10s, connect: 2s, attempt: 2s, first_token: 2s, idle: 2s"


@asynccontextmanager
async def three(**options: Any) -> AsyncIterator[World]:
    """A router over three simulated backends on loopback ports; load decides who is asked.

    It has answered before: whatever is loaded and learnt at the first request is. No connection is kept.
    """
    async with world(*THREE, **{"ordered": False, "timeouts": TIMEOUTS} | options) as here:
        for _ in range(3):
            await here.chat(deadline_s=10.0)
            await here.text(deadline_s=10.0)
        await here.idle()
        for backend in here.backends.values():
            backend.kill()
            backend.heal()
            backend.requests.clear()
        await asyncio.sleep(0.02)  # the client's side is told, too
        yield here


@asynccontextmanager
async def three_scripted(
    *,
    latency_s: float = 0.2,
    clock: Any = None,
    replies: dict[str, Replies] | None = None,
    **options: Any,
) -> AsyncIterator[Script]:
    """A router over three scripted backends, for virtual time; `faults` breaks the way to them."""
    options = {"ordered": False, "timeouts": "total: 20s, attempt: 2s, first_token: 2s"} | options
    answers = dict.fromkeys(THREE, Reply.chat("fine").after(latency_s)) | (replies or {})
    async with scripted(policy(*THREE, **options), clock=clock, **answers) as here:
        yield here
