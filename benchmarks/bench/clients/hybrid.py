"""Ourselves: a policy of ten routes, residency and prices, hints with every call, every receipt read."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.clients import hybrid_probes
from bench.load import Messages, Spec
from bench.machine import versions as installed
from bench.policies import ENVIRON, policy_text, tasks_of
from hybridllm import Receipt, Router, receipt

ROUTES = 10


def null_tracer_provider() -> Any:
    """The OpenTelemetry SDK as in production, batch processor included; the exporter drops all."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return provider


def read_meter_provider() -> Any:
    """The OpenTelemetry SDK with a reader: what is counted would be told."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    return MeterProvider([InMemoryMetricReader()])


class Hybrid:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.tasks = tasks_of(ROUTES)
        self.repeats = 0  # attempts beyond the first: there should be none
        more: dict[str, Any] = {"tracer_provider": null_tracer_provider()} if spec.spans else {}
        self.folder = TemporaryDirectory() if spec.books else None
        if self.folder is not None:
            more["meter_provider"] = read_meter_provider()
            more["ledger"] = Path(self.folder.name) / "ledger.db"
        text = policy_text(spec.port, routes=ROUTES, backends=spec.backends)
        self.router = Router.from_text(text, name="bench", environ=ENVIRON, **more)

    async def open(self) -> None:
        await self.router.__aenter__()

    def hints(self, turn: int) -> dict[str, str]:
        return {
            "task": self.tasks[turn % ROUTES],
            "residency": "eu",
            "tenant": f"tenant-{turn % 97}",
            "feature": "triage",
        }

    def read(self, told: Receipt) -> None:
        if told.cost_usd is None:
            raise AssertionError("a receipt without a cost")
        self.repeats += len(told.attempts) - 1

    async def chat(self, messages: Messages, turn: int) -> int:
        reply = await self.router.chat.completions.create(
            messages=messages, max_tokens=64, **self.hints(turn)
        )
        self.read(receipt(reply))
        return len(reply.choices[0].message.content)

    async def stream(self, messages: Messages, turn: int) -> tuple[float, int]:
        first, length = 0.0, 0
        stream = await self.router.chat.completions.create(
            messages=messages, stream=True, **self.hints(turn)
        )
        async with stream:
            async for chunk in stream:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    first = first or time.perf_counter()
                    length += len(text)
        self.read(stream.receipt)
        return first, length

    async def probe(self, what: str, **order: Any) -> dict[str, float]:
        if what == "decision":
            return hybrid_probes.decision(self.spec, **order)
        return await hybrid_probes.failover(self.spec, **order)

    async def close(self) -> None:
        await self.router.__aexit__(None, None, None)
        if self.folder is not None:
            self.folder.cleanup()


def versions() -> dict[str, str]:
    return installed("hybridllm", "openai", "aiohttp", "pydantic", "opentelemetry-sdk")


def make(spec: Spec) -> Hybrid:
    return Hybrid(spec)
