"""An explanation as text: a tree that reads well in a log and on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.decide.considered import constraint_terms, residency_terms, terms_text
from hybridllm._core.decide.explain import DOWN
from hybridllm._core.decide.explain_facts import (
    cache_facts,
    candidate_facts,
    cascade_facts,
    request_facts,
    world_facts,
)
from hybridllm._core.decide.plan import Denied
from hybridllm._core.receipt_text import usd

if TYPE_CHECKING:
    from hybridllm._core.decide.considered import ConsideredConstraint, ConsideredRoute, HeldTag
    from hybridllm._core.decide.explain import Explanation
    from hybridllm._core.decide.plan import Plan
    from hybridllm._core.decide.world import World
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._core.request.facts import Facts

SOURCES = {
    "request": "of the request",
    "task": "of the task",
    "session": "kept by the session",
    "default": "the policy's default",
}


@dataclass(slots=True)
class _Branch:
    text: str
    twigs: list[_Branch] = field(default_factory=list)


def explanation_text(explanation: Explanation) -> str:
    """Return an explanation as a tree of lines."""
    plan = explanation.plan
    asked = request_text(plan.facts, plan.policy)
    lines = [_line(f"policy {plan.policy.name} {plan.policy.version}: {asked}")]
    if explanation.world is not None:
        lines.append(_line(f"in a world with {world_text(explanation.world)}"))
    lines.append(_line(verdict_text(explanation)))
    lines += _drawn(_branches(explanation), "")
    return "\n".join(lines)


def request_text(facts: Facts, policy: Policy) -> str:
    """Return what is known of a request in one line."""
    return ", ".join(
        f"{name} {_value(value)}" for name, value in request_facts(facts, policy).items()
    )


def world_text(world: World) -> str:
    """Return a state of the world in one line: what is not as it should be, and the time."""
    told = world_facts(world)
    parts = [f"{', '.join(told['down'])} down"] if told["down"] else []
    parts += [f"{count} in flight on {name}" for name, count in told["in_flight"].items()]
    parts += [f"{name} {latency_text(latency)}" for name, latency in told["latency"].items()]
    parts += [f"{_whose(name)} {_said(load)}" for name, load in told["load"].items()]
    parts += [f"volume {_said(volume)}" for volume in told["volume"]]
    parts += [f"break-even {told['break_even']}"] if told["break_even"] else []
    parts += [f"{usd} USD spent of {name}" for name, usd in told["spent"].items()]
    if world.chance:
        parts.append(f"chance {world.chance:g}")
    now = world.now_utc.strftime("%a %Y-%m-%d %H:%M UTC")
    return "; ".join(parts or ["nothing amiss"]) + f"; at {now}"


def load_text(load: Mapping[str, Any]) -> str:
    """Return what is known of a load in words: `saturated (9 waiting, 8 may), KV cache 93 %`."""
    words = {
        "saturated": "saturated ({})",
        "waiting": "{:g} waiting",
        "running": "{:g} running",
        "kv_cache_pct": "KV cache {:g} %",
        "predicted_wait_ms": "predicted wait {:g} ms",
    }
    return ", ".join(told.format(load[name]) for name, told in words.items() if name in load)


def latency_text(latency: Mapping[str, Mapping[str, float]]) -> str:
    """Return measured percentiles in words: `ttft p50 300, p90 1200 ms, total p50 2000 ms`."""
    return ", ".join(
        f"{what.removesuffix('_ms')} "
        + ", ".join(f"{percentile} {ms:g}" for percentile, ms in values.items())
        + " ms"
        for what, values in latency.items()
    )


def verdict_text(explanation: Explanation) -> str:
    """Return the route that decides, or what denies."""
    if explanation.allowed:
        return f"route {explanation.route}"
    return f"DENIED by {explanation.rule}; nothing would be sent"


def answer_text(explanation: Explanation) -> str:
    """Return who answers and why, or what is raised instead."""
    found = explanation.answering
    if found is not None:
        first = "answers" if explanation.world is not None else "is asked first"
        waits = f", waits {found.waits}" if found.waits else ""
        return f"{explanation.answer} {first} ({found.reason.value}{waits})"
    return f"nobody answers ({explanation.error})"


def candidate_notes(row: Mapping[str, Any]) -> str:
    """Return what else is known of a candidate, from its facts: passed over, load, latency, share, cost."""
    share, cost, passed = row["split_share"], row["expected_cost_usd"], row["passed_over"]
    notes = {
        passed if passed == DOWN else f"now passed over: {passed}": passed,
        f"{row['in_flight']} in flight": row["in_flight"],
        load_text(row["load"]): load_text(row["load"]),
        latency_text(row["latency"] or {}): row["latency"],
        f"misses its objective: {row['objective_missed']}": row["objective_missed"],
        f"its model is drawn for {(share or 0) * 100:.3g}%": share is not None,
        f"about {usd(Decimal(cost or 0))}": cost is not None,
    }
    return "; ".join(note for note, said in notes.items() if said)


def route_text(one: ConsideredRoute) -> str:
    """Return a route that was looked at: whether it holds, and if not, why."""
    name, when = one.route.name, one.route.when
    if one.failing is not None:
        return f"{name}  no: asks for {one.failing}"
    return f"{name}  {'decides' if one.decides else 'would decide, but only observes'}: {when}"


def tag_text(held: HeldTag) -> str:
    """Return a residency tag: what it allows, and who brought it."""
    sources = " and ".join(SOURCES[source] for source in held.sources)
    return f"residency {held.tag.tag}, {sources}: {terms_text(residency_terms(held.tag))}"


def cascade_text(plan: Plan | Denied) -> str | None:
    """Return whose answers are checked, how, and who is asked then; None: nobody's are."""
    told = cascade_facts(plan)
    if told is None:
        return None
    checks = ", ".join(told["checks"])
    return (
        f"cascade: an answer of {told['first']} is checked ({checks}), then {told['then']} is asked"
    )


def cache_text(plan: Plan | Denied) -> str | None:
    """Return for how long answers are kept, and which; None: none is."""
    told = cache_facts(plan)
    if told is None:
        return None
    which = "every request" if told["when"] == "always" else "requests with temperature 0"
    return f"cache: answers to {which} are kept for {told['ttl_s']:g} s"


def constraint_text(one: ConsideredConstraint) -> str:
    """Return a constraint that applies: what it restricts, and what it did."""
    terms = terms_text(constraint_terms(one.constraint))
    text = f"constraint {one.constraint.name}: {terms}"
    if one.constraint.observe:
        return f"{text}; only observes, and would {'; '.join(one.would) or 'drop nobody'}"
    return f"{text}; drops {', '.join(one.dropped)}" if one.dropped else text


def _branches(explanation: Explanation) -> Iterator[_Branch]:
    for place, row in enumerate(candidate_facts(explanation), start=1):
        notes = candidate_notes(row)
        yield _Branch(
            f"{place}. {row['candidate']}  {row['reason']}" + (f"  ({notes})" if notes else "")
        )
    plan = explanation.plan
    if isinstance(plan, Denied) and not plan.dropped:
        yield _Branch(plan.message)
    if explanation.dropped:
        out = [_Branch(f"{name}  {why}") for name, why in dict.fromkeys(explanation.dropped)]
        yield _Branch("not asked", out)
    yield from (_Branch(tag_text(held)) for held in explanation.residency)
    yield from (
        _Branch(constraint_text(one)) for one in explanation.constraints if one.failing is None
    )
    if (cascade := cascade_text(plan)) is not None:
        yield _Branch(cascade)
    if explanation.budgets:
        yield _Branch("budgets", [_Branch(one) for one in explanation.budgets])
    if (kept := cache_text(plan)) is not None:
        yield _Branch(kept)
    if explanation.routes:
        yield _Branch("routes looked at", [_Branch(route_text(one)) for one in explanation.routes])
    if explanation.allowed:
        yield _Branch(answer_text(explanation))


def _drawn(branches: Iterator[_Branch] | Sequence[_Branch], indent: str) -> Iterator[str]:
    branches = list(branches)
    for branch in branches:
        last = branch is branches[-1]
        yield _line(f"{indent}{'└─' if last else '├─'} {branch.text}")
        yield from _drawn(branch.twigs, indent + ("   " if last else "│  "))


def _whose(name: str) -> str:
    return "every own backend" if name == "*" else name


def _said(told: Mapping[str, Any]) -> str:
    return ", ".join(name if said is True else f"{name} {said}" for name, said in told.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, list):
        return " and ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(text: str) -> str:
    """One line, whatever a caller named a tenant."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
