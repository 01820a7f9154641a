"""The metrics of breakers: every transition is counted, once, with who and from what to what."""

from __future__ import annotations

import asyncio
from collections import Counter

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from hybridllm import Router
from hybridllm._adapters.otel_metrics import OtelLoads
from hybridllm._core.telemetry.heard import Belief
from hybridllm._core.telemetry.watched import Judged
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime.world import MESSAGES, environ, policy

NAME = "hybridllm.backend.breaker.transitions"


def transitions(reader: InMemoryMetricReader) -> Counter[tuple[str, ...]]:
    """(backend, model, from, to) of each, and how often."""
    found: Counter[tuple[str, ...]] = Counter()
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points if metric.name == NAME else ():
                    said = dict(point.attributes or {})
                    who = said["hybridllm.backend.name"], said["hybridllm.request.model"]
                    way = said["hybridllm.breaker.from"], said["hybridllm.breaker.to"]
                    found[*map(str, who), *map(str, way)] += int(point.value)
    return found


def test_a_breaker_that_opens_and_closes_is_counted_at_each_step() -> None:
    """Opening less closing tells how many stand open; nothing is counted while all is well."""

    async def main() -> None:
        reader = InMemoryMetricReader()
        replies = {
            "us.test": [*[Reply.status(500)] * 5, Reply.chat("yes")],
            "eu.test": Reply.chat("yes"),
        }
        async with Router.from_text(
            policy("us", "eu"),
            environ=environ("us", "eu"),
            wire=ScriptedWire(replies),
            clock=LoopClock(),
            meter_provider=MeterProvider([reader]),
        ) as router:

            async def ask() -> None:
                await router.chat.completions.create(messages=MESSAGES, task="t")

            for _ in range(4):
                await ask()
            assert transitions(reader) == {}
            await ask()
            assert transitions(reader) == {("us", "m", "closed", "open"): 1}
            await asyncio.sleep(10)
            for _ in range(2):
                await ask()
            assert transitions(reader) == {
                ("us", "m", "closed", "open"): 1,
                ("us", "m", "open", "half_open"): 1,
                ("us", "m", "half_open", "closed"): 1,
            }

    run_in_virtual_time(main)


def test_the_load_of_a_backend_is_a_gauge_of_each_figure_that_is_known() -> None:
    """What is not known is not told; one provider per listener."""
    reader = InMemoryMetricReader()
    listener = OtelLoads(MeterProvider([reader]))
    listener.told(
        "own", Judged(Belief(4, 1, 0), 0.5, None, "about 1 waiting in its queue", False, 9.0)
    )
    listener.told("idle", Judged(Belief(), None, None, "", False, 9.0))
    data = reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    found = {
        (
            metric.name.removeprefix("hybridllm.backend.load."),
            dict(point.attributes or {})["hybridllm.backend.name"],
        ): getattr(point, "value", None)
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert found == {
        ("running", "own"): 4,
        ("queued", "own"): 1,
        ("kv_used", "own"): 0.5,
        ("saturated", "own"): 1,
        ("saturated", "idle"): 0,
    }
