"""What a policy says of own machines, load and overflow: for its picture, its page and its JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm import PolicyReport

COLUMNS = ("backend", "costs", "saturated from", "wakes in")


def load_rows(report: PolicyReport) -> list[tuple[str, ...]]:
    """Return what is said of each backend that an overflow leaves, that costs a fixed sum, or that sleeps."""
    policy = report.policy
    left = {name for route in policy.routes for one in route.overflows for name in one.sources}
    return [
        (
            one.name,
            str(one.capacity) if one.capacity is not None else "-",
            str(one.saturation) if one.own or one.saturation.in_flight_max is not None else "-",
            str(one.cold_start) if one.cold_start is not None else "-",
        )
        for one in policy.backends.values()
        if one.name in left or one.capacity is not None or one.cold_start is not None
    ]


def hybrid_lines(report: PolicyReport) -> Iterator[str]:
    """Yield what the proof takes load and volume to be, in sentences."""
    policy = report.policy
    if policy.live:
        yield "Conditions on volume and break-even may each hold or not, whatever the others do."
    if any(route.overflows for route in policy.routes):
        yield "An overflow changes who is asked first among those who may be asked; it adds nobody."


def overflow_lines(route: Any) -> Iterator[str]:
    """Yield the overflows of a route, in words."""
    for one in route.overflows:
        yield f"overflow {one}"


def overflow_facts(route: Any) -> list[dict[str, Any]]:
    """Return the overflows of a route, as a policy writes them."""
    return [
        {
            "from": list(one.sources),
            "to": list(one.to),
            "when": [str(cause) for cause in one.causes],
            "queue_ms": None if one.queue_s is None else one.queue_s * 1_000,
        }
        for one in route.overflows
    ]


def load_facts(backend: Any) -> dict[str, Any]:
    """Return what is said of a backend's cost, load and sleep."""
    capacity, saturation, cold = backend.capacity, backend.saturation, backend.cold_start
    return {
        "capacity": capacity
        and {
            "usd_per_month": str(capacity.usd_per_month),
            "hidden_usd_per_month": str(capacity.hidden_usd_per_month),
            "tokens_per_second": capacity.tokens_per_s,
            "elastic": capacity.elastic,
        },
        "saturation": {
            "max_inflight": saturation.in_flight_max,
            "queue_depth": saturation.waiting_max,
            "kv_cache_pct": saturation.kv_used_max and round(saturation.kv_used_max * 100, 6),
            "stale_after_s": saturation.stale_after_s,
        },
        "cold_start": cold
        and {
            "takes_s": cold.takes_s,
            "wake": cold.wake_url,
            "wake_at": cold.wake_at,
            "when_cold": "wait" if cold.waits else "error",
        },
    }
