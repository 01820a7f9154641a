"""Sixty requests of every kind over real loopback HTTP, for real tracing backends to be told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from hybridllm import Router
from hybridllm.errors import StreamInterrupted
from hybridllm.testing import Fault, SimulatedBackend

TENANTS = ("acme", "clinic", "initech")
POLICY = """
version: 1
backends:
  us: {{kind: api, base_url: "{us}", region: us, health: off}}
  eu: {{kind: api, base_url: "{eu}", region: eu, health: off}}
  own: {{kind: vllm, base_url: "{own}", region: eu, operator: self, health: off,
        price: {{input_per_1m: 0.02, output_per_1m: 0.05}}}}
models:
  assistant-small:
    price: {{input_per_1m: 50, output_per_1m: 130}}
    on: {{us: assistant-small, eu: assistant-small}}
  our-qwen: {{on: {{own: Qwen/Qwen3-8B}}}}
tasks:
  plain: {{}}
  hedged: {{hedge: {{after: 60ms}}}}
  home: {{}}
routes:
  - {{name: home, when: {{task: home}}, use: [our-qwen]}}
  - {{name: rest, use: [{{model: assistant-small, on: [us, eu]}}]}}
telemetry:
  metrics: {{attribution: [feature, task], tenants: [acme, clinic, initech]}}
  dialects: [mlflow, openinference]
"""
# What ails `us`, the task, whether it is streamed, and how many requests.
PARTS: tuple[tuple[str, str, bool, int], ...] = (
    ("plain", "plain", False, 20),
    ("stream", "plain", True, 10),
    ("uncounted", "plain", True, 6),
    ("own", "home", False, 4),
    ("slow", "hedged", False, 4),  # one of twenty requests may be hedged: two of these are
    ("failover", "plain", False, 8),
    ("cut", "plain", True, 8),
)
# A router for each request of these: else a breaker would open, and nothing more would fail.
_ALONE = frozenset({"failover", "cut"})


def policy(backends: dict[str, SimulatedBackend]) -> str:
    return POLICY.format(**{name: backend.base_url for name, backend in backends.items()})


@asynccontextmanager
async def backends() -> AsyncIterator[dict[str, SimulatedBackend]]:
    """Two regions of a hosted API, and a vLLM of one's own, on loopback."""
    async with AsyncExitStack() as stack:
        hosted = {
            name: await stack.enter_async_context(
                SimulatedBackend(name=name, models=["assistant-small"])
            )
            for name in ("us", "eu")
        }
        own = SimulatedBackend(name="own", models=["Qwen/Qwen3-8B"], kind="vllm")
        yield hosted | {"own": await stack.enter_async_context(own)}


async def send(
    there: dict[str, SimulatedBackend],
    ledger: Path,
    tracer_provider: TracerProvider,
    meter_provider: MeterProvider,
) -> None:
    """Send the sixty, one after the other."""
    ail: dict[str, Callable[[], Fault | None]] = {
        "failover": lambda: Fault.status(503),
        "cut": lambda: Fault.cut_after(2, "rst"),
        "uncounted": lambda: Fault.usage(None),
    }
    tenants = cycle(TENANTS)

    def router() -> Router:
        return Router.from_text(
            policy(there),
            environ={},
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            ledger=ledger,
        )

    async with router() as shared:
        for what, task, stream, count in PARTS:
            there["us"].fault = ail[what]() if what in ail else None
            there["us"].latency_s = 0.2 if what == "slow" else 0.0
            for _ in range(count):
                async with AsyncExitStack() as alone:
                    asked = shared
                    if what in _ALONE:
                        asked = await alone.enter_async_context(router())
                    await _ask(asked, task, next(tenants), f"part-{what}", stream=stream)


async def _ask(router: Router, task: str, tenant: str, feature: str, *, stream: bool) -> None:
    try:
        answer = await router.chat.completions.create(
            task=task,
            tenant=tenant,
            feature=feature,
            user_id=f"{tenant}-user",
            session=f"{tenant}-session",
            stream=stream,
            max_tokens=64,
            messages=[{"role": "user", "content": "Which queue is this for? " * 8}],
        )
        if stream:
            async with answer:
                async for _ in answer:
                    pass
    except StreamInterrupted:
        if feature != "part-cut":
            raise
