"""Routers that are closed while requests run, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hybridllm import Router
from hybridllm.testing import (
    FaultTransport,
    LoopClock,
    Reply,
    ScriptedWire,
    no_leaks,
    run_in_virtual_time,
)
from runtime.world import KEY, Script, policy

WORDS = ["one ", "two ", "three ", "four"]
GOOD = Reply.chat("fine")
HANG = Reply.hang()


def slow(seconds: float) -> Reply:
    """An answer that takes so long."""
    return GOOD.after(seconds)


def stream_of(seconds: float) -> Reply:
    """A stream with so long between two tokens."""
    return Reply.chat_stream(WORDS).paced(seconds)


def play(scene: Callable[[Script], Awaitable[None]], **replies: Any) -> None:
    """Run a scene in virtual time, with a router that the scene closes; nothing may be left."""

    async def main() -> None:
        async with no_leaks():
            wire = ScriptedWire({f"{name}.test": reply for name, reply in replies.items()})
            text = policy(
                *replies, timeouts="idle: 60s, first_token: 60s, attempt: 60s, total: 300s"
            )
            router = Router.from_text(text, environ={"KEY": KEY}, wire=wire, clock=LoopClock())
            here = Script(router, wire, FaultTransport(wire))
            await scene(here)
            await router.aclose(drain_s=0)
            assert here.idle
            assert wire.closed

    run_in_virtual_time(main)


def begun(work: Any) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def some_time() -> None:
    await asyncio.sleep(0.5)
