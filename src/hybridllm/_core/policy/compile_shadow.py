"""Copies of requests, from the schema's model to what the router runs."""

from __future__ import annotations

from hybridllm._core.compare.parity import ParityConfig
from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.schema_shadow import ShadowSpec
from hybridllm._core.policy.shadow import Shadow


def compiled_shadow(spec: ShadowSpec | None) -> Shadow | None:
    """Return what a route says of copies."""
    if spec is None:
        return None
    parity = spec.parity
    return Shadow(
        spec.model,
        float(spec.share),
        pico_of(spec.max_usd_per_day),
        None if parity is None else ParityConfig(float(parity.at_least), parity.samples),
        shifts=parity is not None and parity.then == "shift",
    )
