"""What holds for every request, whatever its policy, its failures, and its caller: generated and checked.

Plain, streamed and embedded; served, failed, denied, cancelled, left early. In virtual time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from counted import PartOf
from hybridllm import HybridLLMError, Receipt, Router, Stream, receipt
from hybridllm._core.receipt import AttemptOutcome, AttemptReason, RequestOutcome
from hybridllm.testing import LoopClock, ScriptedWire, SentRequest, run_in_virtual_time
from runtime import generated
from runtime.test_cancellation import SpanCount

POLICIES, REQUESTS_EACH = 250, 8
OUTCOMES = {
    "RequestRejected": RequestOutcome.REJECTED,
    "DeadlineExceeded": RequestOutcome.DEADLINE,
    "PolicyDenied": RequestOutcome.DENIED,
    "RouteExhausted": RequestOutcome.ERROR,
    "BackendsUnavailable": RequestOutcome.ERROR,
    "StreamInterrupted": RequestOutcome.ERROR,
}


async def made(router: Router, asked: generated.Request, rng: Random) -> tuple[Any, Any]:
    """Make a call; now and then leave its stream in the middle."""
    place: Any = router.embeddings if asked.way == "embeddings" else router.chat.completions
    try:
        answer = await place.create(**asked.params("x"), deadline_s=rng.choice((0.5, 5.0, 60.0)))
        if isinstance(answer, Stream):
            leave_after = rng.choice((1, 2, 99))
            async with answer:
                async for _ in answer:
                    leave_after -= 1
                    if not leave_after:
                        break
        return receipt(answer), None
    except HybridLLMError as error:
        return receipt(error), error


def is_consistent(told: Receipt, error: Any) -> None:
    """A receipt agrees with itself, and with what the caller was told."""
    attempts = told.attempts
    assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
    stale = sum(attempt.error == "stale_connection" for attempt in attempts)
    assert len(attempts) <= 6 + stale
    assert {f"{a.backend}/{a.model}" for a in attempts} <= set(told.candidates)
    assert len(told.candidates) == len(set(told.candidates)) == len(told.reasons)
    known = [attempt.cost_usd for attempt in attempts if attempt.cost_usd is not None]
    assert told.cost_usd == (sum(known) if known else told.cost_usd)
    assert told.cost_usd is None or told.cost_usd >= told.cost_wasted_usd >= 0
    assert sum(attempt.duration_s for attempt in attempts) <= told.duration_s + 1e-6
    assert all(attempt.duration_s >= 0 for attempt in attempts)
    served = [a for a in attempts if a.outcome is AttemptOutcome.SERVED]
    assert served == (list(attempts[-1:]) if told.outcome is RequestOutcome.OK else [])
    for attempt in attempts:
        assert (attempt.error is None) is (attempt.outcome is not AttemptOutcome.FAILED)
    if attempts:
        assert attempts[0].reason in (AttemptReason.PRIMARY, AttemptReason.FALLBACK)
        assert all(attempt.reason is not AttemptReason.PRIMARY for attempt in attempts[1:])
    if error is not None:
        assert told.outcome is OUTCOMES[type(error).__name__]
    else:
        assert told.outcome in (RequestOutcome.OK, RequestOutcome.CANCELLED)
    assert str(told)
    assert told.to_dict()["outcome"] == told.outcome.value


def played(seed: int, tally: Counter[str]) -> None:
    """One policy, some requests at once, failures, cancellations; then nothing may be left."""
    rng = Random(seed)
    policy, document = generated.loaded(rng)
    asked = [generated.request(rng, document) for _ in range(REQUESTS_EACH)]
    good = rng.choice((0.2, 0.6, 0.95))

    def step(sent: SentRequest) -> Any:
        way = "embeddings" if sent.url.endswith("/embeddings") else "chat"
        way = "stream" if sent.json.get("stream") else way
        paced = generated.reply(rng, way, good=good).after(rng.random() / 4)
        return paced.paced(rng.random() / 20)

    wire = ScriptedWire(dict.fromkeys((f"{name}.test" for name in document["backends"]), step))
    provider, spans = TracerProvider(shutdown_on_exit=False), SpanCount()
    provider.add_span_processor(spans)

    async def main() -> None:
        async with Router(
            policy, environ={}, wire=wire, clock=LoopClock(), tracer_provider=provider
        ) as router:

            async def later(number: int) -> Any:
                await asyncio.sleep(number * rng.random())
                return await made(router, asked[number], rng)

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(later(number)) for number in range(len(asked))]
                for task in tasks:
                    if rng.random() < 0.3:
                        asyncio.get_running_loop().call_later(rng.random() * 4, task.cancel)
            assert router._engine.fleet.in_flight == wire.active == spans.open == 0
            assert not any(s.probing for s in router._engine.fleet.breakers.values())
            for task in tasks:
                tally["cancelled"] += task.cancelled()
                if not task.cancelled():
                    told, error = task.result()
                    note(f"{told}\n{error}")
                    is_consistent(told, error)
                    tally[told.outcome.value] += 1

    run_in_virtual_time(main)


def test_every_request_ends_once_and_leaves_nothing(part_of: PartOf) -> None:
    """Generated requests: receipts agree with themselves, permits, spans and exchanges are closed.

    2,000 of them with `--full`, a quarter without.
    """
    tally: Counter[str] = Counter()
    policies = part_of(POLICIES, 0.25)

    @settings(max_examples=policies, database=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        played(seed, tally)

    run()
    # The witness that all ways to end have been seen.
    assert {"ok", "error", "denied", "rejected", "cancelled"} <= tally.keys()
    assert sum(tally.values()) == policies * REQUESTS_EACH
