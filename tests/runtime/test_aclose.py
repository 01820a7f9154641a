"""Who calls `aclose`, how often, and what else happens at that moment."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from hybridllm import InvalidRequest, RequestFailed, RouterClosed
from hybridllm.testing import Reply
from runtime.closing import GOOD, HANG, WORDS, begun, now_s, play, slow, some_time, stream_of
from runtime.world import Script, text_of, world

# --- who closes, and how often


def test_closings_at_the_same_time_are_one() -> None:
    """The shortest limit holds, and each returns when everything is closed."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        await some_time()
        closings = [begun(here.router.aclose(drain_s=limit_s)) for limit_s in (100, 3, 20)]
        await asyncio.wait(closings, return_when=asyncio.FIRST_COMPLETED)
        assert now_s() == pytest.approx(3.5)
        assert here.wire.closed
        await asyncio.sleep(0.01)
        assert [closing.done() for closing in closings] == [True] * 3
        with pytest.raises(RouterClosed):
            await call
        await here.router.aclose()
        await here.router.aclose(drain_s=0)

    play(scene, eu=HANG)


def test_a_closing_that_is_cancelled_breaks_off_at_once() -> None:
    """Whoever waits for the answer must not wait for ever; the cancellation goes on."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        await some_time()
        closing = begun(here.router.aclose(drain_s=100))
        await some_time()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert now_s() == pytest.approx(1.0)
        assert here.wire.closed
        with pytest.raises(RouterClosed):
            await call

    play(scene, eu=HANG)


def test_a_caller_who_leaves_at_the_same_time_is_cancelled() -> None:
    """Two reasons for one end: the caller's own goes before, and its task knows of it."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        await some_time()
        call.cancel()
        await here.router.aclose(drain_s=0)
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()

    play(scene, eu=HANG)


def test_a_time_limit_around_a_call_is_not_mistaken() -> None:
    """The task is not left half cancelled: a later timeout of its own works as ever."""

    async def scene(here: Script) -> None:
        async def caller() -> str:
            async with asyncio.timeout(100):
                with pytest.raises(RouterClosed):
                    await here.chat()
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.sleep(50)
            return "in order"

        call = begun(caller())
        await some_time()
        await here.router.aclose(drain_s=0)
        assert await call == "in order"

    play(scene, eu=HANG)


@pytest.mark.parametrize("drain_s", [-1, float("nan")])
async def test_a_limit_that_is_none_is_refused(drain_s: float) -> None:
    """And nothing is closed by it."""
    async with world("eu") as here:
        with pytest.raises(InvalidRequest, match="drain_s"):
            await here.router.aclose(drain_s=drain_s)
        await here.chat()


@pytest.mark.parametrize("seed", range(40))
def test_whenever_it_is_closed_everybody_gets_an_end(seed: int) -> None:
    """Calls and streams at random, over backends that are well, slow, failing or silent."""
    chance = random.Random(seed)
    drain_s = chance.choice([0, 0.5, 2.0, 20.0])
    replies = [GOOD, slow(1), HANG, stream_of(0.3), Reply.status(503), Reply.chat_stream(WORDS)]
    endings: list[Any] = []

    async def caller(here: Script) -> None:
        await asyncio.sleep(chance.random() * 3)
        try:
            if chance.random() < 0.5:
                await here.chat()
            else:
                await text_of(await here.stream())
        except (RequestFailed, RouterClosed) as error:
            endings.append(error)
        else:
            endings.append(None)

    async def scene(here: Script) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(caller(here))
            await asyncio.sleep(1.5)
            began_s = now_s()
            await here.router.aclose(drain_s=drain_s)
            assert now_s() - began_s <= drain_s + 0.1  # for the last words of whole streams
            assert here.idle
        assert len(endings) == 30

    play(scene, eu=chance.choices(replies, k=40), us=chance.choices(replies, k=40))
