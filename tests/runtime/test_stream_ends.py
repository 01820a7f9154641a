"""How a stream ends, seen by whoever reads it, and what is left: never a clean end that was none.

Whole, left early, cancelled, closed by another task, dropped: each is told apart, and each gives
permit and connection back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from decimal import Decimal
from typing import Any

import pytest

from hybridllm import DeadlineExceeded, Router, Stream, StreamInterrupted
from hybridllm._core.receipt import AttemptOutcome, RequestOutcome
from hybridllm.testing import Fault, Reply, ScriptedWire, run_in_virtual_time
from raw_server import until
from runtime.world import KEY, MESSAGES, policy, script, world

WORDS = list("abcdef")
SLOW = Reply.chat_stream(WORDS).paced(1.0)
ENDLESS = " ".join(["word"] * 100_000)


async def rest(stream: Stream) -> str:
    """The text that is still to come."""
    return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])


async def interrupted(stream: Stream) -> StreamInterrupted:
    """What the next reading tells; afterwards the stream is at its end."""
    with pytest.raises(StreamInterrupted) as caught:
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    return caught.value


# --- whole, though it was left


@pytest.mark.parametrize("paced_s", [0.0, 0.01], ids=["at-once", "in-pieces"])
def test_a_stream_that_is_left_at_its_finish_reason_was_served(paced_s: float) -> None:
    """All of the answer is there: its usage is waited for a moment, and its cost is exact."""

    async def main() -> None:
        reply = Reply.chat_stream(["a", "b"], usage=(1_000, 500)).paced(paced_s)
        async with script("eu", eu=reply) as here:
            async with await here.stream() as stream:
                async for chunk in stream:
                    if chunk.choices[0].finish_reason:
                        break
            told = stream.receipt
            assert told.outcome is RequestOutcome.OK
            (attempt,) = told.attempts
            assert attempt.outcome is AttemptOutcome.SERVED
            assert attempt.usage is not None
            assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (1_000, 500)
            assert attempt.usage.source.value == "provider"
            assert told.cost_usd == Decimal("0.002")
            assert told.cost_complete
            assert told.cost_wasted_usd == 0
            assert here.wire.requests[0].reusable

    run_in_virtual_time(main)


async def test_over_real_sockets_too_a_break_at_the_finish_reason_keeps_the_bill() -> None:
    """And the connection: the next request uses it again."""
    async with world("eu") as here:
        for _ in range(3):
            async with await here.stream() as stream:
                async for chunk in stream:
                    if chunk.choices[0].finish_reason:
                        break
            assert stream.receipt.cost_complete
            assert stream.receipt.outcome is RequestOutcome.OK
        assert here["eu"].connections_opened == 1


def test_a_backend_whose_usage_never_comes_is_not_waited_for() -> None:
    """The answer was whole all the same; what it cost is an estimate."""

    async def main() -> None:
        reply = Reply.chat_stream(["a", "b"], usage=None, done=False).then_hang()
        async with script("eu", eu=reply) as here:
            async with await here.stream() as stream:
                async for chunk in stream:
                    if chunk.choices[0].finish_reason:
                        break
            assert asyncio.get_running_loop().time() <= 0.2
            assert stream.receipt.outcome is RequestOutcome.OK
            assert not stream.receipt.cost_complete
            assert not here.router._engine.fleet.breakers

    run_in_virtual_time(main)


@pytest.mark.parametrize("taken", [1, 3])
def test_a_stream_that_is_left_before_its_finish_reason_was_not_served(taken: int) -> None:
    """The witness for the tests above."""

    async def main() -> None:
        async with script("eu", eu=SLOW) as here:
            async with await here.stream() as stream:
                for _ in range(taken):
                    await anext(stream)
            told = stream.receipt
            assert told.outcome is RequestOutcome.CANCELLED
            assert told.attempts[0].outcome is AttemptOutcome.CANCELLED
            assert not told.cost_complete
            assert here.wire.requests[0].reusable is False

    run_in_virtual_time(main)


def test_what_comes_after_done_is_never_handed_out() -> None:
    """In the same piece or in the next one: the answer ended there."""
    whole = Reply.chat_stream(["a"])
    more = Reply.chat_stream(["CANARY"]).chunks

    async def main() -> None:
        for tail in ([b"".join([whole.chunks[-1], *more])], [whole.chunks[-1], *more]):
            reply = Reply.stream(*whole.chunks[:-1], *tail)
            async with script("eu", eu=reply) as here, await here.stream() as stream:
                assert await rest(stream) == "a"
                assert await rest(stream) == ""
                assert stream.receipt.attempts[0].usage.output_tokens == 5

    run_in_virtual_time(main)


# --- cancelled


@pytest.mark.parametrize("how", ["wait_for", "timeout", "task"])
def test_a_cancelled_reading_ends_the_stream_and_says_so_once(how: str) -> None:
    """A heartbeat that cancels `anext` loses the stream: reading on is never a clean end."""

    async def read(stream: Stream) -> Any:
        if how == "wait_for":
            return await asyncio.wait_for(anext(stream), 0.5)  # noqa: TID251 - what users do
        if how == "timeout":
            async with asyncio.timeout(0.5):
                return await anext(stream)
        task = asyncio.get_running_loop().create_task(_anext(stream))
        await asyncio.sleep(0.5)
        task.cancel()
        return await task

    async def main() -> None:
        async with script("eu", "us", eu=SLOW) as here:
            stream = await here.stream()
            await anext(stream)
            await anext(stream)
            with pytest.raises((TimeoutError, asyncio.CancelledError)):
                await read(stream)
            assert here.idle
            assert stream.receipt.outcome is RequestOutcome.CANCELLED
            error = await interrupted(stream)
            assert (error.cause, error.partial_text, error.backend) == ("cancelled", "a", "eu")
            assert error.receipt is stream.receipt
            await stream.close()
            assert here.sent("us") == 0
            assert not here.router._engine.fleet.breakers

    run_in_virtual_time(main)


async def _anext(stream: Stream) -> Any:
    return await anext(stream)


def test_a_loop_around_a_cancelled_reading_never_takes_the_rest_for_whole() -> None:
    """`async for` after the heartbeat has struck: an error, not the end of an answer."""

    async def main() -> None:
        async with script("eu", eu=SLOW) as here:
            stream = await here.stream()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.5):
                    await rest(stream)
            with pytest.raises(StreamInterrupted, match="cancelled"):
                await rest(stream)

    run_in_virtual_time(main)


# --- closed by another task


def test_a_close_by_another_task_interrupts_the_reader() -> None:
    """It learns that the answer is not whole, with what had come."""

    async def main() -> None:
        async with script("eu", eu=SLOW) as here:
            stream = await here.stream()

            async def read() -> str:
                return await rest(stream)

            reader = asyncio.get_running_loop().create_task(read())
            await asyncio.sleep(2.5)
            await stream.close()
            with pytest.raises(StreamInterrupted) as caught:
                await reader
            assert caught.value.cause == "closed"
            assert caught.value.partial_text == "abc"
            assert stream.receipt.outcome is RequestOutcome.CANCELLED

    run_in_virtual_time(main)


async def test_over_real_sockets_a_close_by_another_task_wakes_the_reader() -> None:
    """At once, though the backend says nothing more; and not as a fault of the backend."""
    async with world("eu", timeouts="idle: 30s") as here:
        here["eu"].answer = "one two three"
        here["eu"].fault = Fault.cut_after(2, "stall")
        stream = await here.stream()

        async def read() -> str:
            return await rest(stream)

        reader = asyncio.get_running_loop().create_task(read())
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await stream.close()
        with pytest.raises(StreamInterrupted) as caught:
            await reader
        assert asyncio.get_running_loop().time() - began < 0.2
        assert caught.value.cause == "closed"
        assert not here.router._engine.fleet.breakers


def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    """Two would share the chunks between them, and neither would have an answer."""

    async def main() -> None:
        async with script("eu", eu=SLOW) as here:
            stream = await here.stream()

            async def read() -> str:
                return await rest(stream)

            reader = asyncio.get_running_loop().create_task(read())
            await asyncio.sleep(0.5)
            with pytest.raises(RuntimeError, match="another task is reading"):
                await anext(stream)
            assert await reader == "".join(WORDS)
            assert stream.receipt.outcome is RequestOutcome.OK

    run_in_virtual_time(main)


# --- the deadline


def test_a_deadline_in_the_middle_of_a_stream_is_told_once() -> None:
    """Afterwards the stream is at its end, and nothing is held."""

    async def main() -> None:
        async with script("eu", eu=SLOW) as here:
            stream = await here.stream(deadline_s=3.5)
            with pytest.raises(DeadlineExceeded):
                await rest(stream)
            assert here.idle
            assert await rest(stream) == ""
            assert stream.receipt.outcome is RequestOutcome.DEADLINE
            assert not here.router._engine.fleet.breakers

    run_in_virtual_time(main)


# --- dropped


def drop(held: list[Stream]) -> None:
    """Let go of the last reference to a stream."""
    held.clear()
    gc.collect()


async def run(thread: threading.Thread) -> None:
    """Start a thread, and see to its end while the loop goes on."""
    thread.start()
    await until(lambda: not thread.is_alive())


async def test_a_dropped_stream_warns_and_gives_everything_back() -> None:
    """At the backend its connection is closed within 100 ms: it stops working for nobody."""
    async with world("eu", backends={"tokens_per_s": 50.0}) as here:
        here["eu"].answer = ENDLESS
        held = [await here.stream()]
        assert (here.in_flight, here.active) == (1, 1)
        with pytest.warns(ResourceWarning, match="a Stream was dropped before its end"):
            drop(held)
        await until(lambda: here.in_flight == 0 == here.active, within_s=2.0)


async def test_a_stream_that_is_dropped_in_another_thread_is_closed_in_its_loop() -> None:
    """The last reference may die anywhere, as a web server's worker."""
    async with world("eu", backends={"tokens_per_s": 50.0}) as here:
        here["eu"].answer = ENDLESS
        held = [await here.stream()]
        thread = threading.Thread(target=drop, args=[held])
        with pytest.warns(ResourceWarning, match="dropped"):
            await run(thread)
        await until(lambda: here.in_flight == 0 == here.active, within_s=2.0)


def test_a_stream_that_outlives_its_loop_has_ended_with_it() -> None:
    """Its permit is back and its receipt is there; to drop it is no news to anybody."""

    async def main() -> tuple[Any, Stream]:
        wire = ScriptedWire({"eu.test": SLOW})
        router: Any = Router.from_text(policy("eu"), environ={"KEY": KEY}, wire=wire)
        stream = await router.chat.completions.create(messages=MESSAGES, stream=True)
        return router, stream

    router, *held = run_in_virtual_time(main)
    assert router._engine.fleet.in_flight == 0
    assert held[0].receipt.error == "stream_interrupted"
    drop(held)


async def test_a_stream_that_was_read_or_closed_drops_in_silence() -> None:
    """Warnings are errors in these tests: there is none."""
    async with world("eu") as here:
        stream = await here.stream()
        await rest(stream)
        del stream
        other = await here.stream()
        await other.close()
        del other
        gc.collect()


def test_a_close_that_is_cancelled_gives_everything_back() -> None:
    """All choices had ended, and only the usage was waited for."""

    async def main() -> None:
        reply = Reply.chat_stream(["a", "b"], usage=(1_000, 500)).paced(0.02)
        async with script("eu", eu=reply) as here:
            stream = await here.stream()
            async for chunk in stream:
                if chunk.choices[0].finish_reason:
                    break
            closing = asyncio.get_running_loop().create_task(stream.close())
            await asyncio.sleep(0.001)
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
            assert here.idle
            assert stream.receipt.outcome is RequestOutcome.CANCELLED

    run_in_virtual_time(main)
