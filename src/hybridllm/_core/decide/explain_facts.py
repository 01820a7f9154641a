"""An explanation as plain facts, ready for JSON. The keys are a promise; amounts of money are texts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.decide.considered import (
    constraint_terms,
    objectives,
    residency_terms,
    split_share,
)
from hybridllm._core.decide.filters import expected_cost_usd, input_tokens
from hybridllm._core.decide.order import missed
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.budgets import usd_plain
from hybridllm._core.policy.conditions import METADATA

if TYPE_CHECKING:
    from hybridllm._core.decide.explain import Explanation
    from hybridllm._core.decide.snapshot import Latency, Load
    from hybridllm._core.decide.world import World
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._core.request.facts import Facts

_TOLD = (
    "task",
    "residency",
    "tenant",
    "feature",
    "session",
    "model",
    "vector_space",
    "environment",
    "input_tokens_estimate",
    "output_tokens_max",
    "max_cost_usd",
)


def explanation_dict(explanation: Explanation) -> dict[str, Any]:
    """Return all of an explanation."""
    plan = explanation.plan
    told: dict[str, Any] = {
        "allowed": explanation.allowed,
        "policy": plan.policy.name,
        "policy_version": plan.policy.version,
        "route": plan.route,
        "residency": list(plan.residency),
        "request": request_facts(plan.facts, plan.policy),
        "world": None if explanation.world is None else world_facts(explanation.world),
        "answer": _answer(explanation),
        "error": explanation.error,
        "candidates": candidate_facts(explanation),
        "dropped": [
            {
                "candidate": drop.candidate.name,
                "reason": drop.reason.value,
                "detail": drop.detail,
                "rule": drop.rule or None,
            }
            for drop in plan.dropped
        ],
        "residency_tags": _residency_tags(explanation),
        "routes": _routes(explanation),
        "constraints": _constraints(explanation),
        "cascade": cascade_facts(plan),
        "budgets": list(explanation.budgets),
        "cache": cache_facts(plan),
        "observed": list(plan.observed),
    }
    if isinstance(plan, Denied):
        told |= {"rule": plan.rule, "message": plan.message}
    return told


def cascade_facts(plan: Plan | Denied) -> dict[str, Any] | None:
    """Return the cascade that holds for the request; None: nobody's answer is checked."""
    if isinstance(plan, Denied) or plan.cascade is None:
        return None
    cascade = plan.cascade
    return {"first": cascade.first, "then": cascade.then, "checks": list(cascade.checks)}


def cache_facts(plan: Plan | Denied) -> dict[str, Any] | None:
    """Return where the answer may be kept, or be from; None: nowhere."""
    if isinstance(plan, Denied) or plan.cache is None:
        return None
    cache = plan.cache
    return {
        "ttl_s": cache.ttl_s,
        "entries": cache.entries,
        "bytes": cache.size_bytes,
        "when": "always" if cache.always else "temperature_0",
    }


def request_facts(facts: Facts, policy: Policy) -> dict[str, Any]:
    """Return what is known of the request; of its metadata, what the policy looks at."""
    told: dict[str, Any] = {"operation": facts.operation}
    for name in _TOLD:
        value = getattr(facts, name)
        if value not in (None, "", 0):
            told[name] = f"{value:f}" if isinstance(value, Decimal) else value
    if facts.taints:
        told["carried"] = list(facts.taints)
    if facts.tags:
        told["tags"] = sorted(facts.tags)
    metadata = {
        key: value for key, value in facts.metadata.items() if METADATA + key in policy.looks_at
    }
    if metadata:
        told["metadata"] = metadata
    if facts.needs:
        told["needs"] = sorted(facts.needs)
    if facts.stream:
        told["stream"] = True
    return told


def world_facts(world: World) -> dict[str, Any]:
    """Return a state of the world, by what was said of it."""
    return {
        "down": sorted(world.down),
        "in_flight": dict(world.in_flight),
        "latency": {name: latency_facts(latency) for name, latency in world.latency.items()},
        "now": world.now_utc.isoformat(),
        "chance": world.chance,
        "load": {name: said.to_dict() for name, said in world.loads.items()},
        "volume": [said.to_dict() for said in world.volumes],
        "break_even": {True: "above", False: "below", None: None}[world.break_even],
        "spent": {name: f"{usd_plain(pico):f}" for name, pico in world.spent.items()},
    }


def load_facts(load: Load | None) -> dict[str, Any]:
    """Return what is known of a backend's load, its requests in flight apart."""
    if load is None:
        return {}
    told = {
        "saturated": load.saturated or None,
        "waiting": load.waiting,
        "running": load.running,
        "kv_cache_pct": None if load.kv_used is None else round(load.kv_used * 100, 1),
        "predicted_wait_ms": None if load.wait_s is None else round(load.wait_s * 1_000, 1),
        "waking_up_s": load.cold,
    }
    return {name: value for name, value in told.items() if value is not None}


def latency_facts(latency: Latency) -> dict[str, dict[str, float]]:
    """Return measured percentiles in milliseconds, `{"ttft_ms": {"p90": 1200.0}}`."""
    told = {"ttft_ms": _percentiles(latency.ttft_ms), "total_ms": _percentiles(latency.total_ms)}
    return {name: values for name, values in told.items() if values}


def candidate_facts(explanation: Explanation) -> list[dict[str, Any]]:
    """Return who may be asked, in order, with all that is known of each."""
    plan, snapshot = explanation.plan, explanation.snapshot
    if not isinstance(plan, Plan):
        return []
    slos = objectives(plan)
    rows = []
    for place, (kept, reason) in enumerate(zip(plan.kept, plan.reasons, strict=True)):
        candidate = kept.candidate
        price = candidate.price_at(snapshot.now_utc, input_tokens(plan.facts))
        cost = expected_cost_usd(candidate, plan.facts, snapshot.now_utc)
        latency = snapshot.latency.get(candidate.name)
        share = split_share(plan, kept)
        rows.append(
            {
                "candidate": candidate.name,
                "backend": candidate.backend.name,
                "region": candidate.backend.region,
                "model": candidate.model.name,
                "wire_model": candidate.wire_model,
                "fallback": kept.fallback,
                "reason": reason,
                "passed_over": explanation.refusals.get(place),
                "in_flight": explanation.in_flight.get(candidate.backend.name, 0),
                "load": load_facts(snapshot.loads.get(candidate.backend.name)),
                "latency": None if latency is None else latency_facts(latency),
                "objective_missed": missed(kept, slos, snapshot),
                "split_share": share and round(share, 6),
                "price_id": price.price_id if price else None,
                "usd_per_mtok_in": f"{price.usd_per_mtok_in:f}" if price else None,
                "usd_per_mtok_out": f"{price.usd_per_mtok_out:f}" if price else None,
                "expected_cost_usd": f"{cost:f}" if cost is not None else None,
            }
        )
    return rows


def _answer(explanation: Explanation) -> dict[str, str | None] | None:
    plan, found = explanation.plan, explanation.answering
    if found is None or not isinstance(plan, Plan):
        return None
    candidate = plan.kept[found.index].candidate
    return {
        "candidate": candidate.name,
        "backend": candidate.backend.name,
        "model": candidate.model.name,
        "reason": found.reason.value,
        "waits": found.waits or None,
    }


def _residency_tags(explanation: Explanation) -> list[dict[str, Any]]:
    return [
        {"tag": held.tag.tag, "from": list(held.sources), "allows": residency_terms(held.tag)}
        for held in explanation.residency
    ]


def _routes(explanation: Explanation) -> list[dict[str, Any]]:
    return [
        {
            "route": one.route.name,
            "mode": _mode(observe=one.route.observe),
            "when": one.route.when.to_dict(),
            "holds": one.failing is None,
            "failing": one.failing,
            "decides": one.decides,
        }
        for one in explanation.routes
    ]


def _constraints(explanation: Explanation) -> list[dict[str, Any]]:
    return [
        {
            "constraint": one.constraint.name,
            "mode": _mode(observe=one.constraint.observe),
            "when": one.constraint.when.to_dict(),
            "holds": one.failing is None,
            "failing": one.failing,
            "restricts": constraint_terms(one.constraint),
            "dropped": list(one.dropped),
            "would": list(one.would),
        }
        for one in explanation.constraints
    ]


def _mode(*, observe: bool) -> str:
    return "observe" if observe else "enforce"


def _percentiles(values: Mapping[int, float]) -> dict[str, float]:
    return {f"p{percentile}": values[percentile] for percentile in sorted(values)}
