"""Streams that could not go on, or were left at a seam: nothing is held, and the reader is told the truth."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
from typing import Any

import openai
import pytest

from hybridllm import (
    DeadlineExceeded,
    Restarted,
    Router,
    Stream,
    StreamInterrupted,
    receipt,
)
from hybridllm._core.receipt import AttemptOutcome, RequestOutcome
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime.seams import Reading, broken, read, seam_script
from runtime.world import KEY, MESSAGES, Script, policy, scripted

REST = Reply.chat_stream([" three", " four"], usage=(20, 2))


# --- nobody goes on


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_when_nobody_can_go_on_the_reader_keeps_what_it_has(how: str) -> None:
    """One error with the text, why the stream broke, and who could not help; every attempt on its receipt."""

    async def main() -> None:
        replies = {"eu": broken("one", " two"), "us": Reply.status(500), "fra": Reply.fail("tls")}
        async with seam_script(*replies, repeats=0, **replies) as here:
            stream = await here.stream(on_interrupt=how)
            found = await read(stream)
            error = found.error
            assert isinstance(error, StreamInterrupted)
            assert isinstance(error, openai.APIConnectionError)
            assert (error.partial_text, error.tokens_seen) == ("one two", 2)
            assert (error.backend, error.cause, error.resumable) == ("eu", "reset", True)
            assert str(error).endswith("nobody went on: us (500), fra (tls)")
            assert error.receipt is stream.receipt is receipt(error)
            assert stream.receipt.outcome is RequestOutcome.ERROR
            assert stream.receipt.error == "stream_interrupted"
            assert [a.error for a in stream.receipt.attempts] == ["reset", "500", "tls"]
            assert error.__cause__ is error.__context__ is None
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run_in_virtual_time(main)


def test_the_second_half_is_lost_and_the_error_has_both() -> None:
    """Continued once, then broken for good: the text is what the reader has, counted once."""

    async def main() -> None:
        replies = {"eu": broken("a", " b "), "us": broken(" c")}
        async with seam_script(*replies, repeats=0, **replies) as here:
            found = await read(await here.stream(on_interrupt="continue"))
            assert isinstance(found.error, StreamInterrupted)
            assert found.error.partial_text == found.text == "a b c"
            assert (found.error.tokens_seen, found.error.backend) == (3, "us")

    run_in_virtual_time(main)


def test_an_error_that_is_the_requests_own_fault_is_not_tried_elsewhere() -> None:
    """An event with a 400 stops: `next_step` says so for whatever attempt."""

    async def main() -> None:
        error = {"error": {"message": "no", "type": "BadRequestError", "code": 400}}
        first = Reply.chat_stream(["one"], finish_reason=None, usage=None, done=False).chunks
        async with seam_script("eu", "us", eu=Reply.stream(*first, error), us=REST) as here:
            found = await read(await here.stream(on_interrupt="restart"))
            assert isinstance(found.error, StreamInterrupted)
            assert (found.error.status_code, here.sent("us")) == (400, 0)

    run_in_virtual_time(main)


def test_all_attempts_count_towards_the_policys_limit() -> None:
    """Six, those before the first token and those after it together."""

    async def main() -> None:
        async with seam_script("eu", "us", repeats=10, eu=broken("a"), us=broken("b")) as here:
            stream = await here.stream(on_interrupt="restart")
            found = await read(stream)
            assert isinstance(found.error, StreamInterrupted)
            assert len(stream.receipt.attempts) == 6
            assert len(found.seams) == 5

    run_in_virtual_time(main)


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_seam_spends_the_retry_budget_like_any_other_attempt(how: str) -> None:
    """With none left the stream ends where it broke; the error says why nobody went on."""
    spent = "retries: {budget: {ratio: 0, reserve_per_s: 0, reserve_max: 0}, "

    async def main() -> None:
        text = policy("eu", "us", each="prefill: true").replace("retries: {", spent)
        async with scripted(text, eu=broken("one"), us=REST) as here:
            found = await read(await here.stream(on_interrupt=how))
            assert isinstance(found.error, StreamInterrupted)
            assert str(found.error).endswith("nobody went on: budget")
            assert (found.error.partial_text, here.sent("us")) == ("one", 0)

    run_in_virtual_time(main)


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_seam_waits_for_a_slot_and_not_for_ever(how: str) -> None:
    """The other backend is full: the reader keeps its text instead of hearing of somebody's queue."""

    async def main() -> None:
        text = policy("eu", "us", each="prefill: true, concurrency: 1")
        slow = Reply.chat_stream(list("abc")).paced(1.0)
        replies = {"eu": [Reply.fail("connect"), broken("one")], "us": slow}
        async with scripted(text, **replies) as here, await here.stream() as other:
            assert other.backend == "us"
            began = asyncio.get_running_loop().time()
            found = await read(await here.stream(on_interrupt=how))
            assert isinstance(found.error, StreamInterrupted)
            assert str(found.error).endswith("nobody went on: no free slot")
            assert asyncio.get_running_loop().time() - began <= 1.1
            assert (found.text, here.sent("us")) == ("one", 1)

    run_in_virtual_time(main)


# --- time


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_one_deadline_holds_for_all_of_it(how: str) -> None:
    """Idle for 20 s, then another attempt that never answers: the reader is told in time, with its text."""

    async def main() -> None:
        replies = {"eu": broken("one", how="stall"), "us": Reply.hang()}
        async with seam_script(*replies, **replies) as here:
            stream = await here.stream(on_interrupt=how, deadline_s=25)
            found = await read(stream)
            assert isinstance(found.error, StreamInterrupted)
            assert (found.error.cause, found.error.partial_text) == ("idle_timeout", "one")
            assert asyncio.get_running_loop().time() <= 25.001
            assert [a.error for a in stream.receipt.attempts] == [
                "idle_timeout",
                "first_token_timeout",
            ]

    run_in_virtual_time(main)


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_deadline_that_passes_in_the_middle_starts_nothing(how: str) -> None:
    """There is no time left for anybody."""

    async def main() -> None:
        slow = Reply.chat_stream(list("abcdef")).paced(1.0)
        async with seam_script("eu", "us", eu=slow, us=REST) as here:
            found = await read(await here.stream(on_interrupt=how, deadline_s=5.5))
            assert isinstance(found.error, DeadlineExceeded)
            assert here.sent("us") == 0

    run_in_virtual_time(main)


# --- left


def drop(held: list[Stream]) -> None:
    """Let go of the last reference to a stream."""
    held.clear()
    gc.collect()


async def at_the_seam(here: Script, how: str) -> tuple[Stream, asyncio.Task[Reading]]:
    """A stream whose reader waits for another attempt, which does not answer."""
    stream = await here.stream(on_interrupt=how)

    async def reading() -> Reading:
        return await read(stream)

    task = asyncio.get_running_loop().create_task(reading())
    await asyncio.sleep(1.0)
    assert here.sent("us") == 1
    return stream, task


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_reader_that_is_cancelled_at_a_seam_leaves_nothing_behind(how: str) -> None:
    """The attempt under way is given up, and on the receipt; the stream is over."""

    async def main() -> None:
        async with seam_script("eu", "us", eu=broken("one"), us=Reply.hang()) as here:
            stream, task = await at_the_seam(here, how)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert here.idle
            told = stream.receipt
            assert told.outcome is RequestOutcome.CANCELLED
            assert [a.outcome for a in told.attempts] == [
                AttemptOutcome.FAILED,
                AttemptOutcome.CANCELLED,
            ]
            assert (await read(stream)).whole is False

    run_in_virtual_time(main)


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_cancellation_at_any_step_of_a_broken_stream_leaves_nothing_behind(how: str) -> None:
    """From before the call to after its end, through two seams, before and after every wait of them."""

    async def cancelled_after(steps: int) -> bool:
        replies = {"eu": broken("a"), "us": broken(" b"), "fra": REST}
        slow = {name: reply.after(0.01).paced(0.01) for name, reply in replies.items()}
        async with seam_script(*slow, **slow) as here:

            async def reading() -> Reading:
                return await read(await here.stream(on_interrupt=how))

            task = asyncio.get_running_loop().create_task(reading())
            await asyncio.sleep(steps * 0.005)
            over = task.done()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert here.idle
            return over

    async def main() -> None:
        steps = 0
        while not await cancelled_after(steps):
            steps += 1
        assert steps > 20

    run_in_virtual_time(main)


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_stream_that_another_task_closes_at_a_seam_is_told_so(how: str) -> None:
    """Its reader is not cancelled, but told; when `close` returns, all is settled."""

    async def main() -> None:
        async with seam_script("eu", "us", eu=broken("one"), us=Reply.hang()) as here:
            stream, task = await at_the_seam(here, how)
            await asyncio.gather(stream.close(), stream.close())  # noqa: TID251 - as users may
            assert here.idle
            assert stream.receipt.outcome is RequestOutcome.CANCELLED
            assert len(stream.receipt.attempts) == 2
            found = await task
            assert isinstance(found.error, StreamInterrupted)
            assert (found.error.cause, found.error.partial_text) == ("closed", "one")
            assert task.cancelling() == 0

    run_in_virtual_time(main)


def test_a_stream_that_is_closed_or_dropped_after_a_seam_gives_all_back() -> None:
    """The attempt that goes on is the stream's own now."""

    async def main() -> None:
        slow = Reply.chat_stream(list("abcdef")).paced(1.0)
        for way in ("close", "drop"):
            async with seam_script("eu", "us", eu=broken("one"), us=slow) as here:
                stream = await here.stream(on_interrupt="restart")
                items = [await anext(stream) for _ in range(4)]
                assert isinstance(items[2], Restarted)
                assert here.router._engine.fleet.in_flight == 1
                if way == "close":
                    await stream.close()
                    assert stream.receipt.outcome is RequestOutcome.CANCELLED
                else:
                    held = [stream]
                    del stream
                    with pytest.warns(ResourceWarning, match="dropped"):
                        drop(held)
                    await asyncio.sleep(0.001)
                assert here.idle

    run_in_virtual_time(main)


def test_a_router_that_closes_at_a_seam_ends_the_stream() -> None:
    """As it ends any other; no further attempt begins."""

    async def main() -> None:
        wire = ScriptedWire({"eu.test": broken("one"), "us.test": Reply.fail("connect")})
        text = policy("eu", "us")
        async with Router.from_text(
            text, environ={"KEY": KEY}, wire=wire, clock=LoopClock()
        ) as router:
            stream: Any = await router.chat.completions.create(
                messages=MESSAGES, stream=True, on_interrupt="restart"
            )
        found = await read(stream)
        assert isinstance(found.error, StreamInterrupted)
        assert stream.receipt.outcome is RequestOutcome.ERROR
        assert wire.active == 0

    run_in_virtual_time(main)


# --- content


def test_a_seam_shows_no_content_where_nobody_asked_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither its repr nor a log nor an error's text holds what was said."""

    async def main() -> None:
        caplog.set_level(logging.DEBUG)
        replies = {"eu": broken("canary-1"), "us": broken(" canary-2"), "fra": Reply.status(400)}
        for how in ("restart", "continue"):
            async with seam_script(*replies, **replies) as here:
                found = await read(await here.stream(on_interrupt=how))
                assert found.error is not None
                assert found.seams
                told = json.dumps(found.error.receipt.to_dict(), default=str)  # type: ignore[attr-defined]
                assert "canary" not in f"{found.seams!r} {found.error} {told} {caplog.text}"

    run_in_virtual_time(main)
