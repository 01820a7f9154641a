"""What a router tells: spans that attempts refer to, gauges of its backends, hints from baggage."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from adapters.metric_points import collected, metering
from adapters.span_trees import recording
from hybridllm import Router, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, SentRequest, run_in_virtual_time
from runtime.world import MESSAGES, environ, policy

FROM_BAGGAGE = 'attribution: {from_baggage: {tenant: "tenant.id", user_id: "enduser.id"}}'


def router(
    replies: Mapping[str, Any],
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    more: str = "",
) -> Router:
    return Router.from_text(
        policy("us", "eu", more=more, health=False),
        environ=environ("us", "eu"),
        wire=ScriptedWire({f"{name}.test": reply for name, reply in replies.items()}),
        clock=LoopClock(),
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
    )


def test_an_attempt_says_which_span_tells_of_it() -> None:
    """So a row of the ledger leads to its trace; each attempt has a span of its own, in one trace."""

    async def main() -> None:
        provider, spans = recording()
        replies = {"us": Reply.status(503), "eu": Reply.chat("yes")}
        async with router(replies, tracer_provider=provider) as asked:
            answer = await asked.chat.completions.create(messages=MESSAGES, task="t")
        told = {
            span.attributes["hybridllm.backend.name"]: span.context
            for span in spans.get_finished_spans()
            if span.attributes and "hybridllm.backend.name" in span.attributes
        }
        for attempt in receipt(answer).attempts:
            context = told[attempt.backend]
            assert attempt.trace_id == f"{context.trace_id:032x}"
            assert attempt.span_id == f"{context.span_id:016x}"

    run_in_virtual_time(main)


def test_an_attempt_refers_to_no_span_that_was_not_recorded() -> None:
    """Without a provider, or sampled out, there is nothing to look up."""

    async def main() -> None:
        for provider in (None, TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)):
            async with router({"us": Reply.chat("yes")}, tracer_provider=provider) as asked:
                answer = await asked.chat.completions.create(messages=MESSAGES, task="t")
            (attempt,) = receipt(answer).attempts
            assert (attempt.trace_id, attempt.span_id) == (None, None)

    run_in_virtual_time(main)


def gauge(reader: InMemoryMetricReader, name: str) -> dict[str, Any]:
    return {said["hybridllm.backend.name"]: value for said, value in collected(reader)[name]}


def test_gauges_tell_what_is_under_way_and_which_breakers_are_open() -> None:
    """Asked of the router when somebody collects; a backend with nothing to do is 0, not absent."""

    async def main() -> None:
        provider, reader = metering()
        during: list[dict[str, Any]] = []

        def answer(_: SentRequest) -> Reply:
            during.append(gauge(reader, "hybridllm.backend.inflight"))
            return Reply.chat("yes")

        replies = {"us": Reply.status(500), "eu": answer}
        async with router(replies, meter_provider=provider) as asked:
            for _ in range(6):
                await asked.chat.completions.create(messages=MESSAGES, task="t")
            assert during[-1] == {"us": 0, "eu": 1}
            assert gauge(reader, "hybridllm.backend.inflight") == {"us": 0, "eu": 0}
            assert gauge(reader, "hybridllm.backend.breaker.state") == {"us": 2, "eu": 0}
            rejections = collected(reader)["hybridllm.backend.rejections"]
            assert [said["hybridllm.reason"] for said, _ in rejections] == ["breaker_open"]

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("said", "hints", "expected"),
    [
        pytest.param({"tenant.id": "acme"}, {}, ("acme", None), id="from-baggage"),
        pytest.param({"tenant.id": "acme"}, {"tenant": "own"}, ("own", None), id="explicit-first"),
        pytest.param({"enduser.id": "u@7"}, {}, (None, "u@7"), id="another-key"),
        pytest.param({"hybridllm.tenant.id": "acme"}, {}, (None, None), id="not-allowed"),
        pytest.param({"tenant.id": "a" * 65}, {}, (None, None), id="too-long"),
        pytest.param({"tenant.id": "a\nb"}, {}, (None, None), id="no-name"),
        pytest.param({"tenant.id": 7}, {}, (None, None), id="no-text"),
    ],
)
def test_baggage_gives_hints_only_where_the_policy_allows_it(
    said: Mapping[str, object], hints: Mapping[str, Any], expected: tuple[str | None, str | None]
) -> None:
    """By its key, if it looks like a name, and never before what the caller says itself."""

    async def main() -> None:
        async with router({"us": Reply.chat("yes")}, more=FROM_BAGGAGE) as asked:
            context = None
            for key, value in said.items():
                context = baggage.set_baggage(key, value, context)
            token = attach(context or {})
            try:
                answer = await asked.chat.completions.create(messages=MESSAGES, task="t", **hints)
                explained = asked.explain(task="t", **hints).plan.facts
            finally:
                detach(token)
        found = receipt(answer)
        assert (found.tenant, found.user_id) == expected
        assert (explained.tenant, explained.user_id) == expected

    run_in_virtual_time(main)


def test_baggage_says_nothing_without_a_word_in_the_policy() -> None:
    """Whoever calls the application chose it."""

    async def main() -> None:
        async with router({"us": Reply.chat("yes")}) as asked:
            token = attach(baggage.set_baggage("tenant.id", "acme"))
            try:
                answer = await asked.chat.completions.create(messages=MESSAGES, task="t")
            finally:
                detach(token)
        assert receipt(answer).tenant is None

    run_in_virtual_time(main)


def test_a_cancelled_request_is_told_too() -> None:
    """With the outcome that its receipt would have."""

    async def main() -> None:
        provider, reader = metering()
        async with router({"us": Reply.chat("yes").after(5)}, meter_provider=provider) as asked:
            task = asyncio.ensure_future(asked.chat.completions.create(messages=MESSAGES))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        ((said, _),) = collected(reader)["hybridllm.request.duration"]
        assert said["hybridllm.outcome"] == "cancelled"

    run_in_virtual_time(main)
