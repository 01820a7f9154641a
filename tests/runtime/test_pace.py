"""Of equal backends the quicker have more of the load; who has come back gets its share step by step."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from hybridllm import receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, scripted

GOOD = Reply.chat("fine")


async def traffic(here: Script, *, seconds: int, per_s: int) -> list[Counter[str]]:
    """Send so many a second; count who answered first, by the second in which they were sent."""
    counts = [Counter[str]() for _ in range(seconds)]

    async def one(second: int) -> None:
        answer = await here.chat()
        counts[second][receipt(answer).attempts[0].backend] += 1

    async with asyncio.TaskGroup() as group:
        for second in range(seconds):
            for _ in range(per_s):
                group.create_task(one(second))
                await asyncio.sleep(1 / per_s)
    return counts


def test_twenty_at_once_over_two_equal_backends_are_ten_each() -> None:
    """In flight is counted as one is chosen, before anything is sent."""

    async def main() -> None:
        text = policy("eu", "us", ordered=False)
        async with scripted(text, eu=GOOD.after(1.0), us=GOOD.after(1.0)) as here:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(here.chat())
            assert 8 <= here.sent("eu") <= 12

    run_in_virtual_time(main)


def test_one_that_becomes_ten_times_slower_is_left_within_ten_seconds() -> None:
    """Without an error: it keeps less than a tenth, and is still tried now and then."""

    async def main() -> None:
        text = policy("eu", "us", "ap", ordered=False)
        eu = [GOOD.after(0.2)] * 100 + [GOOD.after(2.0)]
        async with scripted(text, eu=eu, us=GOOD.after(0.2), ap=GOOD.after(0.2)) as here:
            counts = await traffic(here, seconds=40, per_s=25)
            late = sum(counts[20:], Counter[str]())
            assert 0 < late["eu"] < 0.1 * late.total()

    run_in_virtual_time(main)


@pytest.mark.parametrize("per_s", [30])
def test_one_that_has_come_back_gets_its_share_back_within_ten_seconds(per_s: int) -> None:
    """Little at first: it may have caches to fill; and then surely all of it."""

    async def main() -> None:
        text = policy("eu", "us", ordered=False)
        good = GOOD.after(0.3)
        async with scripted(text, eu=good, us=good) as here:
            await traffic(here, seconds=5, per_s=per_s)
            here.wire.script("eu.test", Reply.fail("connect"))
            down = await traffic(here, seconds=10, per_s=per_s)
            assert sum(one["eu"] for one in down) <= 20
            here.wire.script("eu.test", good)
            back = await traffic(here, seconds=50, per_s=per_s)
            first = next(second for second, one in enumerate(back) if one["eu"])
            shares = [one["eu"] / one.total() for one in back[first : first + 20]]
            assert first <= 36
            assert shares[0] < 0.4
            assert sum(shares[8:13]) / 5 == pytest.approx(0.5, abs=0.12)

    run_in_virtual_time(main)
