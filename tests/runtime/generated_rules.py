"""Conditions, constraints and entries of routes, generated: everything that the policy language knows."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

TASKS = ("classify", "extract", "summarize")
TENANTS = ("acme", "acme-eu", "bolt")
FEATURES = ("chat", "search")
SESSIONS = ("s-1", "s-2", "t-1")
CALLER_TAGS = ("beta", "bulk")
PLANS = ("free", "pro")
BUCKETS = ("bandwidth", "judgment")
REGIONS = ("eu", "us")
OPERATORS = ("self", "third_party")
RETENTIONS = ("none", "30d")

Rule = dict[str, Any]


def given(**fields: Any) -> dict[str, Any]:
    """The fields that say something: in a policy nothing is empty, it is left out."""
    return {name: value for name, value in fields.items() if value not in (None, [], {}, ())}


def maybe(rng: Random, values: Sequence[Any], chance: float = 0.5) -> Any:
    return rng.choice(values) if values and rng.random() < chance else None


def some(rng: Random, values: Sequence[str], least: int = 0) -> list[str]:
    """Any of them, in any order."""
    values = list(values)
    return rng.sample(values, rng.randint(min(least, len(values)), len(values)))


def half(rng: Random, values: list[str]) -> list[str]:
    """Nothing, half of the time."""
    return values if rng.random() < 0.5 else []


def when(rng: Random, tags: Sequence[str], *, depth: int = 0, hours: bool = True) -> Rule:
    """Any conditions; mostly few, now and then some inside others."""
    facts: dict[str, Any] = {
        "task": some(rng, (*TASKS, "ext*"), 1),
        "bucket": some(rng, BUCKETS, 1),
        "residency": half(rng, some(rng, list(tags), 1)),
        "tenant": rng.choice((["acme*"], ["bolt", "none-*"], "acme")),
        "feature": some(rng, FEATURES, 1),
        "session": rng.choice((["s-*"], ["t-1"])),
        "environment": ["production"],
        "capability": some(rng, ("tools", "json_schema", "embeddings"), 1),
        "tags": some(rng, CALLER_TAGS, 1),
        "stream": rng.random() < 0.5,
        "input_tokens": {rng.choice(("gte", "lt")): rng.choice((10, 1_000, "2K"))},
        "metadata": rng.choice(({"plan": some(rng, PLANS, 1)}, {"seats": {"gte": 100}})),
    }
    if hours:
        facts["time"] = rng.choice(({"from": "06:00", "to": "18:00"}, {"weekdays": "mon-thu"}))
    found = given(
        **{name: facts[name] for name in rng.sample(sorted(facts), rng.choice((0, 1, 1, 2)))}
    )
    if depth < 2 and rng.random() < 0.25:
        inner = when(rng, tags, depth=depth + 1, hours=hours)
        if inner:
            found["not"] = inner
    if depth < 2 and rng.random() < 0.2:
        several = [when(rng, tags, depth=depth + 1, hours=hours) for _ in range(rng.randint(1, 2))]
        found |= given(any=[one for one in several if one])
    return found


def entry(rng: Random, models: dict[str, Any], name: str) -> Any:
    """One entry of `use`: mostly a model, narrowed or ordered; a tier or a bucket."""
    draw = rng.random()
    if draw < 0.1:
        return {"tier": rng.choice(("budget", "premium"))}
    if draw < 0.15:
        return {"bucket": rng.choice(BUCKETS)}
    return given(
        model=name,
        on=half(rng, some(rng, list(models[name]["on"]), 1)),
        order_by=rng.choice((None, None, "price", "latency", "load")),
        max_output_price=maybe(rng, (0.2, 1.5), 0.1),
        max_request_cost=maybe(rng, (0.001, 0.1), 0.1),
    )


def entries(rng: Random, models: dict[str, Any], names: Sequence[str]) -> list[Any]:
    """Entries of a route; now and then its last two models are a split."""
    if len(names) > 1 and rng.random() < 0.4:
        split = given(
            split={name: rng.randint(1, 100) for name in names[-2:]},
            sticky_by=rng.choice((None, "session", "tenant", "metadata.plan")),
        )
        return [*(entry(rng, models, name) for name in names[:-2]), split]
    return [entry(rng, models, name) for name in names]


def constraint(rng: Random, number: int, backends: Sequence[str], models: Sequence[str]) -> Rule:
    """Any constraint that restricts something; its hours are left to other tests."""
    mode = maybe(rng, ("observe",), 0.2)
    data = mode is None
    allow = {
        "regions": half(rng, half(rng, some(rng, REGIONS, 1))) if data else [],
        "operators": half(rng, half(rng, some(rng, OPERATORS, 1))) if data else [],
        "retention": half(rng, half(rng, some(rng, RETENTIONS, 1))) if data else [],
        "backends": half(rng, half(rng, some(rng, backends, 1))),
        "models": half(rng, half(rng, some(rng, models, 1))),
    }
    return given(
        name=f"k{number}",
        mode=mode,
        when=when(rng, (), hours=False) if rng.random() < 0.8 else {},
        allow=given(**allow),
        deny={} if any(allow.values()) else {"backends": [rng.choice(list(backends))]},
        max_output_price=maybe(rng, (0.2, 1.5), 0.2),
        max_request_cost=maybe(rng, (0.001, 0.1), 0.1),
    )
