"""Equal requests at once: one is sent, the others wait for its answer. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cache.worlds import ASKED, begin, cache, ends
from hybridllm import DeadlineExceeded, RequestRejected, receipt
from hybridllm.testing import Reply, run_in_virtual_time

SLOW = Reply.chat("slow").after(2)


def test_of_equal_requests_at_once_one_is_sent() -> None:
    """The others share its answer, each with a copy and a receipt of its own."""

    async def main() -> None:
        async with cache(a=SLOW) as here:
            answers = await ends(*(here.chat(**ASKED) for _ in range(20)))
            assert here.sent("a") == 1
            told = [receipt(answer) for answer in answers]
            assert [one.cache for one in told] == [None, *["shared"] * 19]
            assert sum(one.cost_usd or 0 for one in told) == told[0].cost_usd
            assert len({id(answer.choices[0]) for answer in answers}) == 20
            row = here.router.status().caches[1]
            assert (row.shared, row.misses, row.hits) == (19, 1, 0)

    run_in_virtual_time(main)


def test_if_the_one_that_was_sent_is_cancelled_another_goes_on() -> None:
    """One of those who wait, and only one."""

    async def main() -> None:
        async with cache(a=SLOW) as here:
            first = begin(here.chat(**ASKED))
            await asyncio.sleep(1)
            others = [begin(here.chat(**ASKED)) for _ in range(5)]
            await asyncio.sleep(0.5)
            first.cancel()
            answers = await ends(*others)
            with pytest.raises(asyncio.CancelledError):
                await first
            assert here.sent("a") == 2
            assert sorted(str(receipt(one).cache) for one in answers) == ["None", *["shared"] * 4]

    run_in_virtual_time(main)


def test_if_the_one_that_was_sent_fails_another_goes_on() -> None:
    """An error is its own; nobody else is told it."""

    async def main() -> None:
        bad = Reply.status(400).after(1)
        async with cache(a=[bad, SLOW]) as here:
            first = begin(here.chat(**ASKED))
            await asyncio.sleep(0.1)
            others = [begin(here.chat(**ASKED)) for _ in range(3)]
            with pytest.raises(RequestRejected):
                await first
            answers = await ends(*others)
            assert here.sent("a") == 2
            assert [one.choices[0].message.content for one in answers] == ["slow"] * 3

    run_in_virtual_time(main)


def test_an_answer_that_may_not_be_kept_is_shared_with_nobody() -> None:
    """Those who wait ask for themselves, one after the other."""

    async def main() -> None:
        cut = Reply.chat("half", finish_reason="length").after(1)
        async with cache(a=cut) as here:
            answers = await ends(*(here.chat(**ASKED) for _ in range(3)))
            assert here.sent("a") == 3
            assert {receipt(one).cache for one in answers} == {None}

    run_in_virtual_time(main)


def test_who_waits_keeps_its_own_deadline() -> None:
    """Whatever the deadline of the one that was sent is."""

    async def main() -> None:
        async with cache(a=SLOW) as here:
            first = begin(here.chat(**ASKED))
            await asyncio.sleep(0.1)
            began_s = asyncio.get_running_loop().time()
            with pytest.raises(DeadlineExceeded) as caught:
                await here.chat(**ASKED, deadline_s=0.5)
            assert asyncio.get_running_loop().time() - began_s == pytest.approx(0.5, abs=0.05)
            assert receipt(caught.value).attempts == ()
            assert (await first).choices[0].message.content == "slow"

    run_in_virtual_time(main)


def test_who_leaves_while_waiting_disturbs_nobody() -> None:
    """Neither the one that was sent nor the others that wait."""

    async def main() -> None:
        async with cache(a=SLOW) as here:
            tasks: list[asyncio.Task[Any]] = [begin(here.chat(**ASKED)) for _ in range(4)]
            await asyncio.sleep(0.5)
            tasks[1].cancel()
            tasks[3].cancel()
            done = await ends(*tasks)
            assert [isinstance(one, asyncio.CancelledError) for one in done] == [
                False, True, False, True,
            ]  # fmt: skip
            assert here.sent("a") == 1

    run_in_virtual_time(main)


def test_a_router_that_is_closed_ends_all_of_them() -> None:
    """Nobody waits for ever."""

    async def main() -> None:
        async with cache(a=Reply.hang(), b=Reply.hang()) as here:
            tasks = [begin(here.chat(**ASKED)) for _ in range(3)]
            await asyncio.sleep(0.5)
            await here.router.aclose(drain_s=0)
            done = await ends(*tasks)
            assert {type(one).__name__ for one in done} == {"RouterClosed"}

    run_in_virtual_time(main)


def test_of_thousands_with_random_ends_nothing_is_left() -> None:
    """Cancelled at any time, failing or answered: no flight stays."""

    async def main() -> None:
        from random import Random

        chance = Random(7)
        replies = [
            chance.choice([SLOW, Reply.status(400).after(1), Reply.chat("x").after(0.3)])
            for _ in range(400)
        ]
        async with cache("{ttl: 1s}", a=replies) as here:

            async def one(number: int) -> None:
                await asyncio.sleep(chance.random() * 20)
                task = begin(here.chat(**ASKED, seed=number % 5, deadline_s=5))
                await asyncio.sleep(chance.random() * 2)
                if chance.random() < 0.4:
                    task.cancel()
                await ends(task)

            await ends(*(one(number) for number in range(300)))
            assert here.router._engine.response_caches._flights == {}
            assert here.idle

    run_in_virtual_time(main)
