"""A backend that sleeps is bridged by the API, woken, and given its traffic back little by little."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from hybrid.worlds import URLS, own_and_api
from hybridllm import Router, WarmingUp
from hybridllm.testing import (
    Ending,
    Fault,
    Journey,
    LoopClock,
    Service,
    SimulatedFleet,
    VllmService,
    run_in_virtual_time,
    send_all,
    traffic,
)

POLICY = own_and_api(
    own="cold_start: {takes: 15s, WHEN}", route="use: [{model: m, on: [own, api]}]"
)
MESSAGES: Any = [{"role": "user", "content": "Which queue is this for?"}]
SERVICE = Service(first_token_s=0.3, spread=0.0, answer_tokens=40, tokens_per_s=200.0)
SLEEPS_S = 15.0


def world(when: str = "when_cold: error") -> tuple[Router, SimulatedFleet, list[tuple[str, float]]]:
    """A backend that refuses every connection for fifteen seconds, as one does that loads a model."""
    fleet = SimulatedFleet(URLS, service=SERVICE)
    fleet.strike("own", Fault.refuse(), until_s=SLEEPS_S)
    woken: list[tuple[str, float]] = []

    async def wake(backend: str) -> None:
        woken.append((backend, asyncio.get_running_loop().time()))

    router = Router.from_text(
        POLICY.replace("WHEN", when),
        wire=fleet,
        environ={},
        clock=LoopClock(),
        chance=Random(1).random,
        wake=wake,
    )
    return router, fleet, woken


def played(router: Router, asks: Sequence[Any]) -> Sequence[Journey]:
    async def play() -> Sequence[Journey]:
        async with router:
            return await send_all(router, asks)

    return run_in_virtual_time(play())


def test_the_api_answers_while_it_wakes_and_no_caller_waits() -> None:
    """Fifteen seconds of sleep: every first token within the second that the API needs anyhow."""
    router, fleet, woken = world()
    journeys = played(router, traffic(10, until_s=40, seed=1, streams=1))
    assert {one.ending for one in journeys} == {Ending.ANSWERED}
    assert max(one.first_token_s or 9.0 for one in journeys) <= 1.0
    assert woken[0][0] == "own"
    assert len(woken) == 1
    bridged = [one for one in journeys if 1 <= one.ask.at_s < SLEEPS_S]
    assert {one.served_by for one in bridged} == {"api"}
    # Asked once by the first request, then by probes alone, one a second.
    assert fleet["own"].requests(0, SLEEPS_S - 1) <= 3 + SLEEPS_S
    back = [one for one in journeys if one.ask.at_s >= SLEEPS_S + 7]
    assert {one.served_by for one in back} == {"own"}


def test_awake_again_it_is_given_little_at_first() -> None:
    """Its caches are cold: two at once, and twice as many every half second."""
    router, fleet, _ = world()
    played(router, traffic(100, until_s=25, seed=2, streams=1))
    first = min(at_s for at_s in fleet["own"].requests_at_s if at_s >= SLEEPS_S)
    early = fleet["own"].requests(first, first + 0.5)
    late = fleet["own"].requests(first + 5.0, first + 5.5)
    assert early <= 8
    assert late >= 30


def test_what_only_it_may_answer_fails_with_a_time_to_come_back() -> None:
    """`phi`: `WarmingUp`, after the first has found it asleep; nothing goes to the API."""
    router, fleet, _ = world()

    async def play() -> None:
        async with router:
            for at_s in (0.0, 5.0):
                await asyncio.sleep(at_s - asyncio.get_running_loop().time())
                with pytest.raises(WarmingUp) as caught:
                    await router.chat.completions.create(messages=MESSAGES, residency="phi")
                assert caught.value.retry_after_s == pytest.approx(SLEEPS_S - at_s, abs=0.2)
            await asyncio.sleep(SLEEPS_S - 5.0 + 2.0)
            await router.chat.completions.create(messages=MESSAGES, residency="phi")

    run_in_virtual_time(play())
    assert fleet["api"].requests() == 0


def test_or_waits_for_it_within_its_deadline() -> None:
    """`when_cold: wait`: answered at sixteen seconds; a deadline of five ends in the same error."""
    router, fleet, _ = world("when_cold: wait")

    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with router:
            with pytest.raises(WarmingUp):
                await router.chat.completions.create(
                    messages=MESSAGES, residency="phi", deadline_s=5
                )
            assert loop.time() == pytest.approx(5.0, abs=0.1)
            await router.chat.completions.create(messages=MESSAGES, residency="phi")
            assert SLEEPS_S < loop.time() < SLEEPS_S + 3

    run_in_virtual_time(play())
    assert fleet["api"].requests() == 0


def test_what_nobody_wants_may_sleep() -> None:
    """A minute after the last request that would have used it, the probes end."""
    router, fleet, _ = world()
    fleet.strike("own", Fault.refuse())

    async def play() -> None:
        async with router:
            await router.chat.completions.create(messages=MESSAGES)
            await asyncio.sleep(300)

    run_in_virtual_time(play())
    assert 30 < fleet["own"].requests(0, 70) < 90
    assert fleet["own"].requests(70) == 0


def test_an_error_of_one_that_answers_is_no_sleep() -> None:
    """A 503 amid answers is a 503: the breaker and the retries are there for it."""
    router, fleet, woken = world()
    fleet.strike("own", Fault.status(503, probability=0.3), from_s=20, until_s=60)
    played(router, traffic(5, from_s=16, until_s=60, seed=3))
    assert woken == []


AHEAD = """
version: 1
backends:
  own: {kind: vllm, base_url: "http://own.internal:8000/v1", allow_plaintext: true, operator: self,
        price: free, cold_start: {takes: 15s, wake_at: 0.8}}
  api: {kind: api, base_url: "https://api.test/v1", price: {input_per_1m: 0.1, output_per_1m: 0.2}}
models: {m: {on: {own: m, api: m}}}
routes:
  - {name: heavy, when: {volume: {requests_per_minute: {gte: 60}}}, use: [{model: m, on: [own, api]}]}
  - {name: all, use: [{model: m, on: [api]}]}
"""


def test_it_is_woken_before_the_volume_that_needs_it_is_reached() -> None:
    """At four fifths of the threshold; when the route begins it is awake, and nobody met it asleep."""
    machine = VllmService(slots=32, asleep=True, woken_by_request=False, cold_start_s=8.0)
    fleet = SimulatedFleet(
        URLS,
        service={"own": machine, "api": SERVICE},
    )
    woken: list[float] = []

    def wake(_: str) -> None:
        woken.append(asyncio.get_running_loop().time())
        fleet["own"].wake()

    router = Router.from_text(
        AHEAD, wire=fleet, environ={}, clock=LoopClock(), chance=Random(1).random, wake=wake
    )
    calm = traffic(0.5, until_s=120, seed=1)
    rush = traffic(1.5, from_s=120, until_s=240, seed=2)
    journeys = played(router, [*calm, *rush])
    assert {one.ending for one in journeys} == {Ending.ANSWERED}
    own = [one.ask.at_s for one in journeys if one.served_by == "own"]
    assert woken
    assert woken[0] > 120
    assert min(own) > woken[0] + 8
    assert all(len(one.tries) == 1 for one in journeys)
