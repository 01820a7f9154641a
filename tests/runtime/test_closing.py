"""A router that is closed ends what is under way, over real sockets, at once and with a word of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm import RequestFailed, Router, RouterClosed, StreamInterrupted
from hybridllm.testing import Fault
from raw_server import until
from runtime.world import KEY, MESSAGES, World, policy, world

QUIET = {
    "stall": Fault.cut_after(2, "stall"),
    "pings": Fault.cut_after(2, "pings"),
}


async def how_it_ends(task: asyncio.Task[Any]) -> tuple[Exception, float]:
    """What a task raises, and how long that takes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises((RequestFailed, RouterClosed)) as caught:
        async with asyncio.timeout(3):
            await task
    return caught.value, loop.time() - began


async def read(here: World) -> None:
    """One stream, read to its end."""
    async with await here.stream() as stream:
        async for _ in stream:
            pass


@pytest.mark.parametrize("fault", QUIET.values(), ids=QUIET)
async def test_a_close_ends_a_stream_and_a_call_at_once(fault: Fault) -> None:
    """Neither hangs until its timeout, neither ends well, no backend is asked instead."""
    async with world("eu", "us", timeouts="idle: 30s, attempt: 30s, first_token: 30s") as here:
        here["eu"].answer = "one two three"
        here["eu"].fault = fault
        loop = asyncio.get_running_loop()
        stream = loop.create_task(read(here))
        await until(lambda: here.active == 1)
        await asyncio.sleep(0.1)  # two of its tokens are there
        here["eu"].fault = Fault.hang()
        call = loop.create_task(here.chat())
        starting = loop.create_task(here.stream())
        await until(lambda: here.active == 3)
        began = loop.time()
        await here.router.close()
        assert loop.time() - began < 0.5
        error, took_s = await how_it_ends(stream)
        assert isinstance(error, StreamInterrupted)
        assert error.partial_text == "one two"
        assert took_s < 0.5
        for task in (call, starting):
            error, took_s = await how_it_ends(task)
            assert isinstance(error, RouterClosed | RequestFailed)
            assert took_s < 0.5
        assert await here.idle() < 0.5
        assert here["us"].requests == []


async def test_a_close_ends_a_call_that_waits_for_its_body() -> None:
    """Its head had come."""
    async with world("eu", timeouts="attempt: 30s") as here:
        here["eu"].fault = Fault.hang_after_head()
        call = asyncio.get_running_loop().create_task(here.chat())
        await until(lambda: here.active == 1)
        await asyncio.sleep(0.05)
        await here.router.close()
        _, took_s = await how_it_ends(call)
        assert took_s < 0.5
        assert await here.idle() < 0.5


async def test_a_call_to_a_closed_router_is_told_so() -> None:
    """Before anything is built or sent; closing again does nothing."""
    async with world("eu") as here:
        await here.chat()
        await here.router.close()
        await here.router.close()
        with pytest.raises(RouterClosed, match="closed"):
            await here.chat()
        assert len(here["eu"].requests) == 1


async def test_a_router_that_was_never_used_closes() -> None:
    """There is no wire to close, and none is made for it."""
    router: Any = Router.from_text(policy("eu"), environ={"KEY": KEY})
    await router.close()
    with pytest.raises(RouterClosed):
        await router.chat.completions.create(messages=MESSAGES)
