"""`aclose`: what is under way may end, for a while; then it is broken off, and every caller is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm import (
    HttpxWire,
    Router,
    RouterClosed,
    StreamInterrupted,
)
from hybridllm.testing import (
    Fault,
    FaultTransport,
    LoopClock,
    Reply,
    ScriptedWire,
    run_in_virtual_time,
)
from raw_server import until
from runtime.closing import GOOD, HANG, WORDS, begun, now_s, play, slow, some_time, stream_of
from runtime.world import KEY, Script, policy, text_of, world

# --- within the limit


def test_what_is_under_way_ends_and_nothing_new_begins() -> None:
    """The closing takes as long as the request does, not as long as it might."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        await some_time()
        closing = begun(here.router.aclose(drain_s=30))
        await asyncio.sleep(0)
        with pytest.raises(RouterClosed, match="open a new one"):
            await here.chat()
        await closing
        assert now_s() == pytest.approx(3.0)
        assert call.done()
        assert call.result().choices[0].message.content == "fine"

    play(scene, eu=slow(3))


def test_a_held_stream_is_under_way_until_it_is_read_to_its_end() -> None:
    """Or closed, whichever comes first; its text is whole."""

    async def scene(here: Script) -> None:
        reading = begun(text_of(await here.stream()))
        left = await here.stream()
        await begun(_closed_in(left, 1.0))
        await here.router.aclose(drain_s=30)
        assert reading.done()
        assert reading.result() == "one two three four"

    play(scene, eu=stream_of(2))


async def _closed_in(stream: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await stream.close()


def test_a_request_that_drains_goes_on_to_another_backend() -> None:
    """It keeps every right that it had: the other backend, the repeat, the wait between."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        await some_time()
        await here.router.aclose(drain_s=30)
        assert (await call).choices[0].message.content == "fine"
        assert here.sent("eu") == 2

    play(scene, eu=[Reply.status(503).after(1), slow(1)], us=Reply.status(503).after(1))


@pytest.mark.parametrize("stream", [False, True])
def test_leaving_the_block_drains_for_a_few_seconds(stream: bool) -> None:
    """A task that the block has started gets its answer; one that takes longer does not keep us."""

    async def main() -> None:
        wire = ScriptedWire({"eu.test": stream_of(0.7) if stream else slow(4)})
        text = policy("eu", timeouts="attempt: 60s, first_token: 60s")
        async with Router.from_text(text, environ={"KEY": KEY}, wire=wire, clock=LoopClock()) as it:
            here = Script(it, wire, FaultTransport(wire))
            good = begun(text_of(await here.stream()) if stream else here.chat())
            await asyncio.sleep(0)
            wire.script("eu.test", HANG)
            late = begun(here.chat())
            await asyncio.sleep(0)
            left_s = now_s()
        assert now_s() - left_s == pytest.approx(5)
        assert good.exception() is None
        with pytest.raises(RouterClosed):
            await late

    run_in_virtual_time(main)


def test_a_block_that_an_exception_ends_waits_for_nobody() -> None:
    """Whoever raises wants out."""

    async def main() -> None:
        wire = ScriptedWire({"eu.test": HANG})
        router = Router.from_text(policy("eu"), environ={"KEY": KEY}, wire=wire, clock=LoopClock())
        calls = []

        async def block() -> None:
            async with router:
                calls.append(begun(Script(router, wire, FaultTransport(wire)).chat()))
                await some_time()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await block()
        assert now_s() == 0.5
        with pytest.raises(RouterClosed):
            await calls[0]

    run_in_virtual_time(main)


# --- beyond it


def test_after_the_limit_the_rest_is_broken_off() -> None:
    """A call, a stream that is read, one that is held, one that has not begun: each is told."""

    async def scene(here: Script) -> None:
        held = await here.stream()
        read = begun(text_of(await here.stream()))
        here.wire.script("eu.test", HANG)
        call, starting = begun(here.chat()), begun(here.stream())
        await some_time()
        began_s = now_s()
        await here.router.aclose(drain_s=7)
        assert now_s() - began_s == pytest.approx(7)
        for task in (call, starting):
            with pytest.raises(RouterClosed, match="while a request was under way"):
                await task
        with pytest.raises(StreamInterrupted, match="the router was closed") as caught:
            await read
        assert (caught.value.cause, caught.value.partial_text) == ("router_closed", "one two ")
        assert caught.value.receipt is not None
        assert held.receipt.error == "stream_interrupted"
        assert held.receipt.attempts[0].error == "router_closed"
        with pytest.raises(StreamInterrupted) as caught:
            await text_of(held)
        assert caught.value.cause == "router_closed"

    play(scene, eu=stream_of(5))


def test_without_a_limit_worth_its_name_it_is_at_once() -> None:
    """`drain_s=0`: nobody is waited for."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        await some_time()
        await here.router.aclose(drain_s=0)
        assert now_s() == 0.5
        with pytest.raises(RouterClosed):
            await call

    play(scene, eu=HANG)


def test_a_wait_between_two_attempts_is_broken_off_too() -> None:
    """There is nothing on the wire then."""

    async def scene(here: Script) -> None:
        call = begun(here.chat())
        while not here.wire.requests or here.wire.active:
            await asyncio.sleep(0.001)
        await here.router.aclose(drain_s=0)
        with pytest.raises(RouterClosed):
            await call
        assert here.sent("eu") == 1

    play(scene, eu=[Reply.status(503, retry_after=2), GOOD])


def test_a_stream_that_lacks_nothing_but_its_bill_is_whole() -> None:
    """Every choice has had its finish_reason; nobody is told that it broke."""

    async def scene(here: Script) -> None:
        stream = await here.stream()
        pieces = []
        async for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")
            if chunk.choices[0].finish_reason:
                break
        await here.router.aclose(drain_s=0)
        assert stream.receipt.outcome == "ok"
        assert "".join(pieces) == "one two three four"
        assert [chunk async for chunk in stream] == []

    play(scene, eu=stream_of(1))


@pytest.mark.parametrize("read", [True, False])
def test_a_stream_that_is_being_resumed_is_broken_off(read: bool) -> None:
    """Between two attempts there is no stream to break; its reader is told all the same, once."""

    async def scene(here: Script) -> None:
        stream = await here.stream(on_interrupt="restart")
        reading = begun(text_of(stream)) if read else None
        await asyncio.sleep(5)
        await here.router.aclose(drain_s=1)
        with pytest.raises(StreamInterrupted) as caught:
            await (reading or text_of(stream))
        assert caught.value.cause == "router_closed"
        assert stream.receipt.outcome in {"error", "cancelled"}
        assert here.router._engine.fleet.in_flight == 0

    cut = Reply.chat_stream(WORDS[:2], finish_reason=None, done=False).then_fail("reset")
    play(scene, eu=[cut, HANG])


def test_a_stream_that_goes_on_elsewhere_drains_and_breaks_there() -> None:
    """What is broken off is the attempt that runs, not the first one."""

    async def scene(here: Script) -> None:
        stream = await here.stream(on_interrupt="restart")
        reading = begun(_marks_of(stream))
        await asyncio.sleep(5)
        await here.router.aclose(drain_s=3)
        with pytest.raises(StreamInterrupted, match="the router was closed"):
            await reading
        assert stream.backend == "us"
        assert [one.error for one in stream.receipt.attempts] == ["reset", "router_closed"]

    cut = Reply.chat_stream(WORDS[:2], finish_reason=None, done=False).then_fail("reset")
    play(scene, eu=cut, us=stream_of(4))


async def _marks_of(stream: Any) -> list[Any]:
    async with stream:
        return [type(chunk).__name__ async for chunk in stream]


@pytest.mark.parametrize("owned", [False, True])
async def test_a_wire_that_leaves_its_readers_waiting_does_not_matter(owned: bool) -> None:
    """A client that stays its maker's is not closed; requests end all the same, and it can be used."""
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(trust_env=False) as client:
        made = {"make_wire": lambda: HttpxWire(client, owns_client=owned)}
        async with world("eu", timeouts="attempt: 30s", **made) as here:
            here["eu"].fault = Fault.hang()
            call = begun(here.chat())
            await until(lambda: here.active == 1, within_s=20)
            await here.router.aclose(drain_s=0.05)
            with pytest.raises(RouterClosed):
                await call
            await until(lambda: here.active == 0)
            here["eu"].fault = None
            if not owned:
                url = f"{here['eu'].base_url}/models"
                answer = await client.get(url, headers={"connection": "close"})
                assert answer.status_code in (200, 401)
