"""Live load, sleep and volume in generated policies: they move requests, and must never widen a set."""

from __future__ import annotations

from random import Random
from typing import Any

from runtime.generated_rules import given, maybe, some

Document = dict[str, Any]

CAUSES = (
    "saturated",
    "outage",
    ["rate_limited", "outage"],
    ["saturated", "budget"],
    {"inflight": {"gt": 1}},
    {"predicted_wait_ms": {"gt": 50}},
    {"kv_cache_pct": {"gt": 50}},
    {"budget": {"usd": 0.00001, "per": "day"}, "saturated": True},
)
VOLUMES = (
    {"requests_per_minute": {"gte": 5}},
    {"tokens_per_hour": {"gte": "1K"}, "of": "tenant"},
    {"requests_per_minute": {"lt": 9}, "of": "task"},
)


def with_hybrid(rng: Random, document: Document) -> Document:
    """The same with overflows, limits, sleepers, machines of one's own, volumes and caches in it."""
    names = list(document["backends"])
    for backend in document["backends"].values():
        mine = backend["kind"] == "vllm" or backend.get("operator") == "self"
        limits = given(
            saturation=maybe(
                rng, ({"max_inflight": 1}, {"max_inflight": 1}, {"queue_depth": 1}), 0.8
            ),
            cold_start=maybe(
                rng,
                (
                    {"takes": "1s", "when_cold": "wait", "wake": "https://wake.test/up"},
                    {"takes": "2s", "wake": "https://wake.test/up"},
                ),
                0.4,
            )
            if mine
            else None,
            concurrency=maybe(rng, ({"start": 1, "min": 1, "max": 2},), 0.2),
            capacity=maybe(rng, ({"usd_per_month": 900, "tokens_per_second": 50},), 0.4)
            if mine
            else None,
        )
        backend.update(limits)
        if mine:
            backend["price"] = "free"  # else most would not load: a budget needs prices
    for route in document["routes"]:
        if "mode" in route:
            continue
        overflows = [_overflow(rng, names) for _ in range(rng.choice((1, 1, 2)))]
        route.update(given(overflow=overflows))
        for entry in route["use"]:
            if "order_by" in entry or ("order_by" not in route and "model" in entry):
                entry["order_by"] = rng.choice(("prefix", "marginal_price", "price", "load"))
    for route in document["routes"][:-1]:
        if rng.random() < 0.3:
            route["when"] = route.get("when", {}) | {"volume": rng.choice(VOLUMES)}
    return document


def _overflow(rng: Random, names: list[str]) -> Document:
    """Whom it leaves, and for whom; they may be on no request's list at all."""
    shuffled = some(rng, names, len(names))
    split = rng.randint(1, len(shuffled) - 1)
    return given(
        **{"from": shuffled[:split]},
        to=shuffled[split:],
        when=rng.choice(CAUSES),
        queue_ms=maybe(rng, (50, 500)),
    )
