"""Streams and the response cache: kept once they have ended whole, replayed as they came. In virtual time."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from cache.worlds import ASKED, cache
from hybridllm import StreamInterrupted
from hybridllm._core.receipt import RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import text_of

STREAM = Reply.chat_stream(["one", " two"])


async def whole(here: Any, **params: Any) -> tuple[list[Any], Any]:
    stream = await here.stream(**ASKED, **params)
    chunks = [chunk async for chunk in stream]
    return chunks, stream.receipt


def test_a_stream_is_replayed_as_it_came() -> None:
    """The same chunks, as objects of their own; the receipt says that they were kept."""

    async def main() -> None:
        async with cache(a=STREAM.paced(0.1)) as here:
            first, asked = await whole(here)
            second, hit = await whole(here)
            assert here.sent("a") == 1
            assert first == second
            assert first[0] is not second[0]
            assert (asked.cache, hit.cache) == (None, "hit")
            assert (hit.cost_usd, hit.saved_usd, hit.attempts) == (0, asked.cost_usd, ())
            assert hit.first_token_s == hit.duration_s == 0
            assert hit.stream

    run_in_virtual_time(main)


@pytest.mark.parametrize("wanted", [False, True])
def test_usage_comes_again_where_it_was_asked_for(*, wanted: bool) -> None:
    """And is another request where it was not."""

    async def main() -> None:
        params: dict[str, Any] = {"stream_options": {"include_usage": True}} if wanted else {}
        async with cache(a=STREAM) as here:
            for _ in range(2):
                chunks, _ = await whole(here, **params)
                assert (chunks[-1].usage is not None) is wanted
            assert here.sent("a") == 1

    run_in_virtual_time(main)


def test_a_stream_and_a_whole_answer_are_two_requests() -> None:
    """Each is kept as it came."""

    async def main() -> None:
        async with cache(a=[STREAM, Reply.chat("whole"), STREAM]) as here:
            await whole(here)
            assert (await here.chat(**ASKED)).choices[0].message.content == "whole"
            assert await text_of(await here.stream(**ASKED)) == "one two"
            assert here.sent("a") == 2

    run_in_virtual_time(main)


def test_a_stream_that_breaks_or_is_left_is_not_kept() -> None:
    """Only what has ended as a whole answer."""

    async def main() -> None:
        half = Reply.chat_stream(["half"], finish_reason=None, done=False).then_fail("reset")
        cut = Reply.chat_stream(["cut"], finish_reason="length")
        async with cache(a=[half, STREAM, cut, STREAM, STREAM]) as here:
            with pytest.raises(StreamInterrupted):
                await whole(here)
            async with await here.stream(**ASKED) as stream:
                await anext(stream)
            await whole(here)
            assert here.router.status().caches[1].entries == 0
            await whole(here)
            await whole(here)
            assert here.sent("a") == 4

    run_in_virtual_time(main)


def test_nobody_waits_for_somebody_elses_reader() -> None:
    """A stream's pace is its reader's, so that streams share no flight."""

    async def main() -> None:
        async with cache(a=STREAM) as here:
            slow = await here.stream(**ASKED)
            await anext(slow)
            assert await text_of(await here.stream(**ASKED)) == "one two"
            assert here.sent("a") == 2
            await slow.close()

    run_in_virtual_time(main)


def test_a_replayed_stream_may_be_left_dropped_or_asked_too_early() -> None:
    """It holds nothing; its receipt is there when it has ended, as with any stream."""

    async def main() -> None:
        async with cache(a=STREAM) as here:
            await whole(here)
            stream = await here.stream(**ASKED)
            with pytest.raises(LookupError):
                _ = stream.receipt
            assert (stream.model, stream.backend) == ("m", "a")
            async with stream:
                await anext(stream)
            assert stream.receipt.outcome is RequestOutcome.OK
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            dropped = await here.stream(**ASKED)
            await anext(dropped)
            del dropped
            gc.collect()
            await asyncio.sleep(0)
            assert here.idle

    run_in_virtual_time(main)


def test_the_accepted_stream_of_a_cascade_is_kept() -> None:
    """As it was replayed, or as the better model gave it."""

    async def main() -> None:
        policy = {"route": ", cascade: {first: m, then: n}"}
        lost = Reply.chat_stream(["I don't", " know"])
        async with cache(policy=policy, a=[lost, STREAM], b=Reply.chat_stream(["yes"])) as here:
            for _ in range(2):
                assert await text_of(await here.stream(**ASKED)) == "yes"
            for _ in range(2):
                assert await text_of(await here.stream(**ASKED, seed=1)) == "one two"
            assert (here.sent("a"), here.sent("b")) == (2, 1)

    run_in_virtual_time(main)
