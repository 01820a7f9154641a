"""Whatever fails, a router sends no more than 1.2 times what it was asked, a reserve aside."""

from __future__ import annotations

import random
from typing import Any

import openai
import pytest

from hybridllm import RouteExhausted, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, many, policy, scripted

GOOD, BUSY = Reply.chat("fine"), Reply.status(503)
BUDGET = "retries: {same_backend_max: 2, attempts_max: 6, budget: {%s}}"


def with_budget(text: str, budget: str) -> str:
    old = "retries: {same_backend_max: 2, attempts_max: 6}"
    assert old in text
    return text.replace(old, BUDGET % budget)


def sent(here: Script) -> int:
    return len(here.wire.requests)


def failing(share: float, seed: int = 1) -> Any:
    draw = random.Random(seed).random

    def reply(_: Any) -> Reply:
        return BUSY.after(0.01) if draw() < share else GOOD.after(0.01)

    return reply


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_attempts_stay_within_the_budget(share: float) -> None:
    """1,000 requests of which this share fails: 1.2 times, and the reserve; no more for a dead fleet."""

    async def main() -> None:
        text = with_budget(policy("eu", "us", "ap"), "reserve_max: 20")
        eu, us, ap = (failing(share, seed) for seed in range(3))
        async with scripted(text, eu=eu, us=us, ap=ap) as here:
            found = await many(1_000, 10, lambda _: here.chat())
            assert sent(here) <= 1.2 * 1_000 + 20 + 5
            good = sum(not isinstance(one, Exception) for one in found)
            assert good >= {0.2: 950, 0.5: 550, 1.0: 0}[share]

    run_in_virtual_time(main)


def test_an_empty_budget_is_told() -> None:
    """The error is what the backend said, and says where the limit is."""

    async def main() -> None:
        text = with_budget(policy("eu", "us"), "ratio: 0, reserve_max: 1, reserve_per_s: 0")
        async with scripted(text, eu=BUSY, us=BUSY) as here:
            for attempts in (2, 1):
                with pytest.raises(RouteExhausted) as caught:
                    await here.chat()
                assert isinstance(caught.value, openai.InternalServerError)
                assert caught.value.budget_exhausted
                assert "retries.budget" in str(caught.value)
                assert len(receipt(caught.value).attempts) == attempts

    run_in_virtual_time(main)


def test_going_round_a_dead_backend_costs_nothing() -> None:
    """Its breaker is open: a first attempt elsewhere is a first attempt."""

    async def main() -> None:
        text = with_budget(policy("eu", "us"), "ratio: 0, reserve_max: 5, reserve_per_s: 0")
        async with scripted(text, eu=BUSY, us=GOOD) as here:
            for _ in range(50):
                await here.chat()
            assert here.sent("eu") == 5
            assert here.sent("us") == 50

    run_in_virtual_time(main)


def test_each_extra_attempt_costs_one() -> None:
    """Failovers and repeats alike; a connection that was stale costs nothing."""

    async def main() -> None:
        text = with_budget(policy("eu", "us"), "ratio: 0, reserve_max: 10, reserve_per_s: 0")
        config_left = []
        steps = [BUSY, GOOD, Reply.fail("stale_connection"), GOOD]
        async with scripted(text, eu=steps, us=[BUSY, GOOD]) as here:
            for _ in range(2):
                await here.chat()
                turns = here.router._engine.turns
                config_left.append(turns.spending.left(here.router.policy.budget, 0.0))
            assert config_left == [8.0, 8.0]

    run_in_virtual_time(main)
