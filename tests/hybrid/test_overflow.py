"""A burst overflows to the API and comes back; what may not leave waits; both directions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from hybrid.worlds import URLS, own_and_api
from hybridllm import Overloaded, RouteExhausted, Router, receipt
from hybridllm.testing import (
    Ending,
    Fault,
    Journey,
    LoopClock,
    Service,
    SimulatedFleet,
    run_in_virtual_time,
    send_all,
    traffic,
)

POLICY = own_and_api(own="SATURATION", route="use: [{model: m, on: USE}], overflow: {OVERFLOW}")
SLOTS = 8
OWN = Service(first_token_s=0.4, spread=0.0, answer_tokens=120, tokens_per_s=200.0, slots=SLOTS)
API = Service(first_token_s=0.6, spread=0.2, answer_tokens=120, tokens_per_s=100.0)
HOLD_S = 1.0  # of a slot: 0.4 s to the first token, and 120 tokens at 200 a second
MESSAGES: Any = [{"role": "user", "content": "Which queue is this for?"}]


def policy(
    saturation: str = f"saturation: {{max_inflight: {SLOTS}}}",
    use: str = "[own, api]",
    overflow: str = "from: own, to: [api], when: saturated, queue_ms: 500",
) -> str:
    return (
        POLICY.replace("SATURATION", saturation).replace("USE", use).replace("OVERFLOW", overflow)
    )


def world(text: str, seed: int = 1) -> tuple[Router, SimulatedFleet]:
    fleet = SimulatedFleet(
        URLS,
        seed=seed,
        service={"own": OWN, "api": API},
    )
    router = Router.from_text(
        text, wire=fleet, environ={}, clock=LoopClock(), chance=Random(seed).random
    )
    return router, fleet


def burst(router: Router, *, seed: int = 1, mix: dict[str, Any] | None = None) -> Sequence[Journey]:
    """Half the capacity for 10 s, three times of it for 20 s, half of it for 20 s."""
    capacity = SLOTS / HOLD_S
    calm = traffic(capacity / 2, until_s=10, seed=seed, streams=1, mix=mix)
    rush = traffic(capacity * 3, from_s=10, until_s=30, seed=seed, streams=1, mix=mix)
    after = traffic(capacity / 2, from_s=30, until_s=50, seed=seed, streams=1, mix=mix)

    async def play() -> Sequence[Journey]:
        async with router:
            return await send_all(router, [*calm, *rush, *after])

    return run_in_virtual_time(play())


def test_the_surplus_of_a_burst_and_only_the_surplus_goes_to_the_api() -> None:
    """At three times the capacity two thirds leave; before and after the burst (nearly) nobody does."""
    router, fleet = world(policy())
    journeys = burst(router)
    assert {one.ending for one in journeys} == {Ending.ANSWERED}
    rush = [one for one in journeys if 12 <= one.ask.at_s < 30]
    share = sum(one.served_by == "api" for one in rush) / len(rush)
    assert share == pytest.approx(2 / 3, rel=0.1)
    late = [one for one in journeys if one.ask.at_s >= 32]
    assert sum(one.served_by == "api" for one in late) <= 0.1 * len(late)
    assert fleet["own"].waiting == 0
    assert fleet["own"].at_work_max <= SLOTS
    assert router._engine.overflows.tallies["all"].begun <= 2


def test_the_receipt_says_that_and_why_a_request_left() -> None:
    """Its attempt's reason is overflow; the candidate's own words say why."""

    async def play() -> None:
        router, _ = world(policy("saturation: {max_inflight: 1}"))
        answers: list[Any] = []

        async def ask(after_s: float) -> None:
            await asyncio.sleep(after_s)
            answers.append(receipt(await router.chat.completions.create(messages=MESSAGES)))

        async with router, asyncio.TaskGroup() as group:
            group.create_task(ask(0.0))
            group.create_task(ask(0.1))
        by_backend = {one.served.backend: one for one in answers}
        assert by_backend["own"].served.reason == "primary"
        assert by_backend["api"].served.reason == "overflow"
        assert "own is saturated (1 requests under way, 1 may be)" in by_backend["api"].reasons[0]

    run_in_virtual_time(play())


def test_what_may_not_leave_waits_and_then_fails_with_its_own_error() -> None:
    """`phi` in the same burst: not a byte leaves; waits are bounded by queue_ms; `Overloaded` after."""
    router, fleet = world(policy())
    mix = {"phi": {"residency": "phi"}, "public": {}}
    journeys = burst(router, mix=mix)
    phi = [one for one in journeys if one.ask.kind == "phi"]
    assert {attempt.backend for one in phi for attempt in one.tries} == {"own"}
    assert {one.error for one in phi} <= {None, Overloaded.__name__}
    refused = [one for one in phi if one.error is not None]
    assert refused
    assert all(one.duration_s <= 0.501 for one in refused)
    served = [one for one in phi if one.error is None]
    assert served
    assert all(one.tries[0].after_s <= 0.501 for one in served)
    public = [one for one in journeys if one.ask.kind == "public"]
    assert {one.ending for one in public} == {Ending.ANSWERED}
    assert fleet["own"].at_work_max <= SLOTS


@pytest.mark.parametrize("seed", [1, 2])
def test_without_a_limit_what_may_not_leave_waits_for_the_queue_alone(seed: int) -> None:
    """A saturation that nobody reaches holds nobody back."""
    router, fleet = world(policy("saturation: {max_inflight: 100}"), seed)
    journeys = burst(router, seed=seed, mix={"phi": {"residency": "phi"}})
    assert fleet["own"].waiting == 0
    assert Counter(one.error for one in journeys)[None] > 0


API_FIRST = policy(
    saturation="concurrency: 64",
    use="[api, own]",
    overflow="from: api, to: [own], when: [rate_limited, outage, budget]",
)


def test_an_api_that_says_429_is_left_until_its_retry_after_has_passed() -> None:
    """Then it is asked again, and everything is where it was."""

    async def play() -> None:
        router, fleet = world(API_FIRST)
        limited = Fault.status(429, headers={"retry-after": "20"})
        fleet.strike("api", limited, from_s=5, until_s=6)
        async with router:
            for _ in range(60):
                await router.chat.completions.create(messages=MESSAGES, max_tokens=1)
                await asyncio.sleep(0.5)
        asked = fleet["api"].requests_at_s
        assert any(at_s < 5 for at_s in asked)
        first = next(at_s for at_s in asked if at_s >= 5)
        assert not [at_s for at_s in asked if first < at_s < first + 19]
        assert len([at_s for at_s in asked if at_s > first + 22]) > 5

    run_in_virtual_time(play())


def test_what_an_overflow_goes_to_is_no_more_than_what_the_policy_kept() -> None:
    """An API that is limited for `phi` too: its own machine is asked, and nobody else ever."""

    async def play() -> None:
        router, fleet = world(policy())
        fleet.strike("own", Fault.status(500))
        async with router:
            with pytest.raises(RouteExhausted):
                await router.chat.completions.create(messages=MESSAGES, residency="phi")
        assert fleet["api"].requests() == 0

    run_in_virtual_time(play())


def test_an_api_whose_budget_of_the_day_is_used_up_is_left_until_the_next_day() -> None:
    """Counted at the policy's prices, in memory here; the own machine goes on, and at midnight it is back."""

    async def play() -> None:
        router, fleet = world(
            policy(
                saturation="concurrency: 64",
                use="[api, own]",
                overflow="from: api, to: [own], when: {budget: {usd: 0.001, per: day}}",
            )
        )
        async with router:
            for _ in range(24):  # 12 hours; an answer costs about 0.000025 USD
                for _ in range(10):
                    await router.chat.completions.create(messages=MESSAGES)
                await asyncio.sleep(1_800)
            first_day = fleet["api"].requests()
            assert 20 < first_day < 100
            assert fleet["own"].requests() == 240 - first_day
            answer = receipt(await router.chat.completions.create(messages=MESSAGES))
            assert answer.served is not None
            assert (answer.served.backend, answer.served.reason) == ("own", "overflow")
            assert "has cost" in answer.reasons[0]
            await asyncio.sleep(13 * 3_600)
            answer = receipt(await router.chat.completions.create(messages=MESSAGES))
            assert answer.served is not None
            assert answer.served.backend == "api"

    run_in_virtual_time(play())


def test_an_api_that_says_our_credit_is_used_up_is_left_too() -> None:
    """`budget` alone believes the API's own word."""

    async def play() -> None:
        router, fleet = world(API_FIRST)
        error = {"message": "no credit", "type": "insufficient_quota", "code": "insufficient_quota"}
        broke = Fault.status(429, {"error": error})
        fleet.strike("api", broke, from_s=5)
        async with router:
            for _ in range(20):
                await router.chat.completions.create(messages=MESSAGES, max_tokens=1)
                await asyncio.sleep(1)
        assert fleet["api"].requests(5) <= 2
        assert fleet["own"].requests(5) >= 14

    run_in_virtual_time(play())


def test_what_may_not_leave_waits_for_a_machine_that_is_out_and_comes_back() -> None:
    """For `queue_ms` at most; whoever may leave is answered by the API meanwhile."""

    async def play() -> None:
        router, fleet = world(
            policy(
                "concurrency: 8",
                overflow="from: own, to: [api], when: [saturated, outage], queue_ms: 8000",
            )
        )
        fleet.strike("own", Fault.refuse(), from_s=10, until_s=20)
        calm = traffic(4, until_s=19.5, seed=1, mix={"public": {}})
        phi = traffic(1, from_s=16, until_s=19, seed=3, mix={"phi": {"residency": "phi"}})
        async with router:
            journeys = await send_all(router, [*calm, *phi])
        waited = [one for one in journeys if one.ask.kind == "phi"]
        assert waited
        assert {one.error for one in waited} == {None}
        assert all(one.ended_s > 20 for one in waited)
        assert {attempt.backend for one in waited for attempt in one.tries} == {"own"}
        assert {one.error for one in journeys} == {None}

    run_in_virtual_time(play())
