"""What was promised of dying backends, in the promise's own figures; in virtual time."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from counted import PartOf
from hybridllm import Router
from hybridllm.testing import (
    Ailment,
    Ending,
    Fault,
    Killed,
    LoopClock,
    SimulatedFleet,
    run_in_virtual_time,
    send_all,
    traffic,
)
from survive.bars import bound
from survive.figures import figures, shares
from survive.textbook import run_textbook
from survive.worlds import SERVICE, Cell, policy_text, run


@pytest.mark.parametrize("seed", [1, 2])
def test_a_brown_out_of_all_three_backends_is_survived(seed: int) -> None:
    """20 % random errors at 200 requests a second: at least 95 % are answered, within the budget."""
    cell = Cell("20 % errors", 3, 3, 200.0, seed, calm_s=2, fault_s=5, after_s=0.1, streams=0)
    found = figures(run(cell))
    assert found.success >= 0.95
    assert found.attempts <= bound(found)


def test_a_long_brown_out_costs_at_most_a_fifth_more(part_of: PartOf) -> None:
    """At most 1.22 attempts per request, the reserve and what was earned before included.

    A minute of it with `--full`, half of one without.
    """
    fault_s = part_of(60, 0.5)
    cell = Cell("20 % errors", 3, 3, 200.0, 4, calm_s=1, fault_s=fault_s, after_s=0.1, streams=0)
    late = [j for j in run(cell).journeys if 1 <= j.ask.at_s < cell.healed_s]
    assert sum(j.ending is Ending.ANSWERED for j in late) / len(late) >= 0.95
    assert sum(len(j.tries) for j in late) / len(late) <= 1.22


def test_where_half_of_all_answers_are_errors_more_than_half_of_the_requests_are_answered() -> None:
    """Half of them at once, and of a fifth, which may be tried again, half: 0.5 + 0.2 / 2 = 60 %.

    What panic turns away is lost from that: two thousand requests stray by a few in a hundred.
    """
    cell = Cell("50 % errors", 2, 2, 100.0, 6, calm_s=2, fault_s=20, after_s=0.1, streams=0)
    found = figures(run(cell))
    assert found.success >= 0.55
    assert found.attempts <= bound(found)


def test_the_textbooks_breakers_make_the_same_brown_out_worse() -> None:
    """Three that open one after the other, each for longer: the reason for ours."""
    cell = Cell("20 % errors", 3, 3, 200.0, 5, calm_s=1, fault_s=20, after_s=0.1, streams=0)
    assert run_textbook(cell).success < 0.9


@pytest.mark.parametrize(
    ("death", "backends"),
    [
        pytest.param(Killed(), ("one", "two"), id="killed-of-2"),
        pytest.param(Fault.refuse(), ("one", "two", "three"), id="refuses-of-3"),
        pytest.param(Fault.status(503), ("one", "two", "three"), id="503-of-3"),
    ],
)
def test_a_backend_that_dies_after_a_thousand_successes(
    death: Ailment, backends: tuple[str, ...]
) -> None:
    """At most 20 of the next 300 requests reach it, none fails; back, it has its share within 10 s."""
    rate, dies_s, back_s, end_s = 100.0, 11.5, 16.0, 26.5
    fleet = fleet_of(backends)
    fleet.strike("one", death, from_s=dies_s, until_s=back_s)
    asks = traffic(rate, until_s=end_s, seed=7, streams=0)
    journeys = through(fleet, backends, asks)
    before = [j for j in journeys if j.ended_s < dies_s]
    assert len(before) >= 1_000
    assert {j.ending for j in journeys} == {Ending.ANSWERED}
    after = [ask.at_s for ask in asks if ask.at_s >= dies_s][:300]
    assert fleet["one"].requests(dies_s, after[-1]) <= 20
    late = [j for j in journeys if j.ask.at_s >= back_s + 9]
    assert shares(late)["one"] >= 0.5 * len(late) / len(backends)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_twenty_at_once_are_shared_by_two_equal_backends(stream: bool) -> None:
    """10 +- 2 each: what is under way is counted as it is chosen."""
    backends = ("one", "two")
    fleet = fleet_of(backends)

    async def all_at_once() -> None:
        async with router_of(fleet, backends) as router:

            async def one() -> None:
                answer: Any = await router.chat.completions.create(
                    messages=[{"role": "user", "content": "hello"}], stream=stream
                )
                if stream:
                    async with answer:
                        async for _ in answer:
                            pass

            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(one())

    run_in_virtual_time(all_at_once)
    assert min(fleet[name].requests() for name in backends) >= 8


def fleet_of(backends: tuple[str, ...]) -> SimulatedFleet:
    return SimulatedFleet(
        {name: f"https://{name}.test/v1" for name in backends}, seed=5, service=SERVICE
    )


def router_of(fleet: SimulatedFleet, backends: tuple[str, ...]) -> Router:
    return Router.from_text(
        policy_text(backends),
        environ={},
        wire=fleet,
        clock=LoopClock(),
        chance=Random(3).random,
    )


def through(fleet: SimulatedFleet, backends: tuple[str, ...], asks: list[Any]) -> list[Any]:
    """Send the traffic, and return what became of it."""

    async def course() -> list[Any]:
        async with router_of(fleet, backends) as router:
            return await send_all(router, asks)

    return run_in_virtual_time(course)
