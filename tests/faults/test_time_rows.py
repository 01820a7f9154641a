"""The rows of the fault catalogue about time: C5, the wall clock, and C13, results that come late."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from faults.test_cancellation_rows import LONG, probing, tripped
from hybridllm import Receipt, receipt
from hybridllm.testing import LoopClock, Reply, run_in_virtual_time
from lab.three import three_scripted

JUMPS = {
    "none": timedelta(0),
    "hour-on": timedelta(
        hours=1
    ),  # also what a clock without zones does at the start of summer time
    "hour-back": timedelta(hours=-1),
    "ten-years-on": timedelta(days=3_652),
    "ten-years-back": timedelta(days=-3_652),
    "leap-second": timedelta(seconds=-1),
}


class JumpingClock(LoopClock):
    """A clock whose wall clock somebody sets; durations never notice."""

    def __init__(self) -> None:
        super().__init__(utc=datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC))
        self.off = timedelta(0)

    def utc_now(self) -> datetime:
        return super().utc_now() + self.off


@pytest.mark.parametrize("jump", JUMPS)
def test_c5_no_gate_breaker_or_limit_looks_at_the_wall_clock(jump: str) -> None:
    """A breaker opens and a rate limit begins, the wall clock jumps: both last as long as they would have."""

    async def main() -> None:
        clock = JumpingClock()
        options: Any = {"ordered": True, "repeats": 0, "clock": clock}
        async with three_scripted(latency_s=0.0, **options) as here:

            async def asked() -> Receipt:
                return receipt(await here.chat())

            def sent() -> tuple[int, ...]:
                return tuple(here.sent(name) for name in ("eu-1", "eu-2", "vllm"))

            limited = Reply.status(429, retry_after=3)
            here.wire.script("https://eu-1.test/health", Reply.status(503))
            here.wire.script("eu-1.test", Reply.fail("connect"))
            here.wire.script("eu-2.test", [limited, Reply.chat("fine")])
            for _ in range(12):
                await asked()
            eu_1, eu_2, vllm = sent()
            assert (eu_1 <= 10, eu_2, vllm) == (True, 1, 12)  # open, gated, and the third serves
            here.wire.script("eu-1.test", Reply.chat("back"))
            clock.off = JUMPS[jump]
            told = await asked()
            assert sent() == (eu_1, 1, 13)
            assert told.duration_s == 0.0
            await asyncio.sleep(2.5)
            await asked()
            assert sent() == (eu_1, 1, 14)
            await asyncio.sleep(1.2)  # 3 s, give or take a tenth
            await asked()
            assert sent() == (eu_1, 2, 14)
            await asyncio.sleep(3.0)  # 5 s, give or take a fifth: 6.7 have passed
            assert [a.backend for a in (await asked()).attempts] == ["eu-1"]

    run_in_virtual_time(main)


@pytest.mark.parametrize("jump", JUMPS)
def test_c5_a_deadline_does_not_look_at_the_wall_clock(jump: str) -> None:
    """While a request is under way the clock is set: its deadline, its duration and its order stay."""

    async def main() -> None:
        clock = JumpingClock()
        async with three_scripted(latency_s=0.0, clock=clock) as here:
            for name in ("eu-1", "eu-2", "vllm"):
                here.wire.script(f"{name}.test", Reply.chat("slow").after(1.0))
            task = asyncio.get_running_loop().create_task(here.chat(deadline_s=1.5))
            await asyncio.sleep(0.5)
            clock.off = JUMPS[jump]
            told = receipt(await task)
            assert told.duration_s == 1.0
            assert [a.duration_s for a in told.attempts] == [1.0]
            later = receipt(await here.chat())
            assert later.request_id != told.request_id

    run_in_virtual_time(main)


LATE = {"success": Reply.chat("late").after(20.0), "failure": Reply.status(500).after(20.0)}


@pytest.mark.parametrize("late", LATE)
def test_c13_a_result_from_before_the_trip_says_nothing_about_the_probe(late: str) -> None:
    """A call begun in good times ends while the breaker is half-open: neither closed nor opened by it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with three_scripted(latency_s=0.0, **LONG) as here:
            here.wire.script("eu-1.test", LATE[late])
            early = loop.create_task(here.chat())
            await asyncio.sleep(0.1)
            await tripped(here)
            probe = await probing(here)
            assert loop.time() < 15.0
            sent = here.sent("eu-1")
            told = receipt(await early)
            assert (loop.time(), told.attempts[0].backend) == (20.0, "eu-1")
            await here.chat()
            assert here.sent("eu-1") == sent  # a success did not close it: the probe is still out
            here.wire.script("eu-1.test", Reply.chat("back"))
            probe.cancel()
            await asyncio.wait([probe])
            answer = await here.chat()
            assert answer.choices[0].message.content == "back"  # nor did a failure open it again

    run_in_virtual_time(main)
