"""Who answers in a given world, by `explain` and by tests of policies, is who answers in production."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hybridllm import (
    HybridLLMError,
    Policy,
    PolicyDenied,
    Receipt,
    RouteExhausted,
    Router,
    World,
    receipt,
)
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime import generated

EXAMPLES = 40
REQUESTS_EACH = 8
NOW = datetime(2026, 1, 7, 9, tzinfo=UTC)


async def made(router: Router, request: generated.Request) -> tuple[Receipt, HybridLLMError | None]:
    """Make a call, read it to its end, and return its receipt and what it raised."""
    try:
        if request.way == "embeddings":
            return receipt(await router.embeddings.create(**request.params("hello"))), None
        answer: Any = await router.chat.completions.create(**request.params("hello"))
        if request.way == "stream":
            async for _ in answer:
                pass
        return receipt(answer), None
    except HybridLLMError as error:
        return receipt(error), error


async def judged(seed: int, tally: Counter[str]) -> None:
    """Requests with some of the backends down: what is said of each, and what becomes of it."""
    rng = Random(seed)
    policy, document = generated.loaded(rng)
    if policy.splits:
        return  # what is drawn for a request differs from call to call
    for _ in range(REQUESTS_EACH):
        await asked(
            policy, generated.request(rng, document), generated.some(rng, [*policy.backends]), tally
        )


async def asked(
    policy: Policy, request: generated.Request, down: list[str], tally: Counter[str]
) -> None:
    replies = {
        f"{name}.test": Reply.fail("connect") if name in down else generated.GOOD[request.way]
        for name in policy.backends
    }
    operation = "embeddings" if request.way == "embeddings" else "chat"
    async with Router(
        policy, environ={}, wire=ScriptedWire(replies), clock=LoopClock(utc=NOW)
    ) as router:
        told = router.explain(
            operation=operation, **request.params("hello"), world=World(down=down, now=NOW)
        )
        came, error = await made(router, request)
    served = came.served
    assert told.route == came.route
    assert told.candidates == came.candidates
    assert told.answer == (served and f"{served.backend}/{served.model}")
    assert (told.answering and told.answering.reason) == (served and served.reason)
    kinds = {"policy_denied": PolicyDenied, "route_exhausted": RouteExhausted}
    assert error is None if told.error is None else isinstance(error, kinds[told.error])
    tally[told.error or (served.reason.value if served else "")] += 1


def test_what_is_said_of_a_world_is_what_a_request_meets_in_it() -> None:
    """Route, candidates, who answers and why, or which error: for random policies, requests and outages."""
    tally: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        run_in_virtual_time(lambda: judged(seed, tally))

    run()
    for outcome in ("primary", "failover", "fallback", "policy_denied", "route_exhausted"):
        assert tally[outcome], tally
