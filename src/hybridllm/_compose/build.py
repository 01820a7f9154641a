"""Putting the runtime together: every part in its place. Loaded at the first request, not before."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hybridllm._adapters.environment import api_key
from hybridllm._adapters.otel import OtelTracer
from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.clock import SystemClock
from hybridllm._runtime.engine import Engine
from hybridllm._runtime.target import Targets

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from hybridllm._runtime.ports import Clock, Codec, Wire


def built_engine(
    policy: Policy,
    *,
    environ: Mapping[str, str],
    wire: Wire | None,
    tracer_provider: TracerProvider | None,
    clock: Clock | None,
) -> Engine:
    """Return an engine that runs `policy`; it opens nothing before its first request."""
    return Engine(
        policy,
        wire=(lambda: wire) if wire is not None else _aiohttp_wire,
        codec=_openai_codec,
        targets=Targets(lambda name: api_key(environ, name)),
        tracer=OtelTracer(tracer_provider),
        clock=clock or SystemClock(),
        draw=random.Random().random,  # noqa: S311 - jitter is no secret
    )


def _aiohttp_wire() -> Wire:
    from hybridllm._adapters.aiohttp_wire import AiohttpWire

    return AiohttpWire()


def _openai_codec() -> Codec:
    from hybridllm._adapters.openai_types import OpenAICodec

    return OpenAICodec()
