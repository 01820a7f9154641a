"""The network rows of the fault catalogue that are about minutes: N14 to N17, in virtual time.

Nothing is on a wire here: the way to three scripted backends is broken by a `FaultTransport`, and a minute
of traffic takes a second. The same rows on sockets, shorter, are in `test_network.py`.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest

from hybridllm.testing import Fault, Reply, run_in_virtual_time
from lab.three import THREE, three_scripted
from lab.traffic import Outcomes, steady


def test_n14_a_total_outage_is_left_in_peace_and_is_over_when_it_is_over() -> None:
    """60 s of all dead at 20 requests a second: in the end at most half of them cause a request upstream.

    Errors come at once (within 10 ms, of the clock that stands still while nobody waits), and 10 s after
    the return everybody is served.
    """

    async def main() -> Outcomes:
        async with three_scripted() as here:
            outage = [
                (5.0, lambda: here.faults.set_fault("*", Fault.refuse())),
                (65.0, here.faults.heal),
            ]
            return await steady(20, 85, here.chat, at=outage)

    told = run_in_virtual_time(main)
    assert told.between(0, 5).success == 1.0
    outage = told.between(10, 65)
    assert outage.success == 0.0
    assert outage.took_s(0.99) <= 0.010
    assert told.between(55, 65).amplification <= 0.5
    assert told.between(75, 85).success == 1.0
    assert all(told.between(75, 85).share_of(name) > 0.1 for name in THREE)


@pytest.mark.parametrize(("share", "success"), [(0.2, 0.95), (0.5, 0.55)], ids=["20%", "50%"])
def test_n15_random_errors_everywhere_are_survived_within_the_budget(
    share: float, success: float
) -> None:
    """All three at once, 100 requests a second: 95 % and 55 % are answered, with 1.22 attempts each.

    With little saved up at first: 20 s are too short to show the bound beside the usual hundred.
    """

    async def main() -> Outcomes:
        async with three_scripted(retries="budget: {reserve_max: 20}") as here:
            here.faults.set_fault("*", Fault.status(500, probability=share))
            return await steady(100, 20, here.chat)

    told = run_in_virtual_time(main)
    assert told.success >= success
    assert told.amplification <= 1.22


def test_n16_a_region_that_flaps_does_not_make_the_router_flap(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """5 s up, 5 s down: its breaker opens once and closes once in a period at most; 99.9 % succeed."""
    caplog.set_level(logging.INFO, logger="hybridllm")

    async def main() -> Outcomes:
        async with three_scripted() as here:
            at: list[Any] = []
            for up_s in range(0, 60, 10):
                down = partial(here.faults.set_fault, "eu-1.test", Fault.refuse())
                at += [(up_s + 5.0, down), (up_s + 10.0, here.faults.heal)]
            return await steady(30, 60, here.chat, at=at)

    told = run_in_virtual_time(main)
    assert told.success >= 0.999
    changes = [record.getMessage() for record in caplog.records]
    opened = [each for each in changes if "eu-1/m: closed -> open" in each]
    closed = [each for each in changes if "eu-1/m: half_open -> closed" in each]
    assert 1 <= len(opened) <= 6
    assert 1 <= len(closed) <= 6
    assert not any("eu-2" in each or "vllm" in each for each in changes)


def test_n17_a_region_that_is_ten_times_slower_loses_its_traffic() -> None:
    """No error, so that no breaker opens: it is load and latency that tell. 10 s later it has below 10 %."""

    async def main() -> Outcomes:
        def slow_after_10_s(_: Any) -> Reply:
            late = asyncio.get_running_loop().time() >= 10
            return Reply.chat("fine").after(1.5 if late else 0.15)

        replies: Any = {"eu-1": slow_after_10_s}
        async with three_scripted(latency_s=0.15, replies=replies) as here:
            return await steady(40, 30, here.chat)

    told = run_in_virtual_time(main)
    assert told.failed == []
    assert told.between(0, 10).share_of("eu-1") > 0.2
    assert told.between(20, 30).share_of("eu-1") < 0.1
