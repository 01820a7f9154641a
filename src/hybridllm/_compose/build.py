"""Putting the runtime together: every part in its place. Loaded at the first request, not before."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hybridllm._adapters.environment import api_key
from hybridllm._adapters.otel import OtelTracer
from hybridllm._adapters.otel_metrics import OtelBreakers
from hybridllm._runtime.clock import SystemClock
from hybridllm._runtime.engine import Engine
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.target import Targets
from hybridllm._runtime.transitions import log_transition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from hybridllm._adapters.status_socket import StatusSocket
    from hybridllm._compose.status import Status
    from hybridllm._core.policy.compiled import Candidate, Policy
    from hybridllm._core.resilience.breaker import BreakerState
    from hybridllm._runtime.fleet import Told
    from hybridllm._runtime.ports import Clock, Codec, Wire
    from hybridllm._runtime.reload import Reloader
    from hybridllm._runtime.source import PolicySource, Taken


def built_engine(
    in_force: InForce,
    *,
    environ: Mapping[str, str],
    wire: Wire | None,
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    clock: Clock | None,
    ready: Callable[[], None] | None = None,
) -> Engine:
    """Return an engine that runs the policy in force; it opens nothing before its first request.

    `ready` is called then, in the event loop of that request.
    """
    return Engine(
        in_force,
        wire=(lambda: wire) if wire is not None else _aiohttp_wire,
        codec=_openai_codec,
        targets=Targets(lambda name: api_key(environ, name)),
        tracer=OtelTracer(tracer_provider),
        clock=clock or SystemClock(),
        draw=random.Random().random,  # noqa: S311 - jitter is no secret
        ready=ready,
        on_breaker=_told(OtelBreakers(meter_provider)),
    )


def _told(counted: OtelBreakers) -> Told:
    """Tell the log and the metrics of a breaker's transition."""

    def tell(candidate: Candidate, before: BreakerState, after: BreakerState) -> None:
        log_transition(candidate, before, after)
        counted.changed(candidate, before, after)

    return tell


def built_reloader(
    source: PolicySource,
    first: Taken,
    in_force: InForce,
    *,
    swap: Callable[[Policy], None],
    meter_provider: MeterProvider | None,
    clock: Clock | None,
    watch_s: float,
) -> Reloader:
    """Return what reloads the policy file; it starts neither task nor thread before it is used."""
    from hybridllm._adapters.otel_metrics import OtelReloads
    from hybridllm._runtime.reload import Reloader

    return Reloader(
        source,
        first,
        in_force,
        swap=swap,
        listener=OtelReloads(meter_provider),
        clock=clock or SystemClock(),
        watch_s=watch_s,
    )


def built_status_socket(folder: Path, status: Callable[[], Status]) -> StatusSocket:
    """Return the socket that tells this status."""
    from hybridllm._adapters.status_socket import StatusSocket

    return StatusSocket(folder, lambda: status().to_dict())


def _aiohttp_wire() -> Wire:
    from hybridllm._adapters.aiohttp_wire import AiohttpWire

    return AiohttpWire()


def _openai_codec() -> Codec:
    from hybridllm._adapters.openai_types import OpenAICodec

    return OpenAICodec()
