"""What a decision looked at: routes, constraints, and where residency tags come from.

Worked out for explanations only, after the decision and by the same `match`; a request never pays for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridllm._core.decide.decide import own_tags
from hybridllm._core.decide.match import Subject, failing
from hybridllm._core.decide.plan import Denied, Kept, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.ceilings import Ceilings
from hybridllm._core.policy.compiled import Constraint, Route
from hybridllm._core.policy.objectives import Slo
from hybridllm._core.policy.residency import Residency

_NO_ROUTE = "no route matches"  # the rule of a request that met every route, and fitted none


@dataclass(frozen=True, slots=True)
class ConsideredRoute:
    """A route that was looked at.

    Attributes:
        failing: The first condition that does not hold, in words; None: all of them hold.
        decides: True for the one that decided, the last that was looked at.
    """

    route: Route
    failing: str | None
    decides: bool


@dataclass(frozen=True, slots=True)
class ConsideredConstraint:
    """A constraint of the policy, and what it did to the request.

    Attributes:
        failing: The first condition that does not hold, in words; None: it applies.
        dropped: `backend/model` of those whom it took out.
        would: What it would have done if it were enforced, in words; only of one that is observed.
    """

    constraint: Constraint
    failing: str | None
    dropped: tuple[str, ...] = ()
    would: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldTag:
    """A residency tag that holds for the request.

    Attributes:
        sources: Who brought it: request, task, session, or default, the policy's for who brings none.
    """

    tag: Residency
    sources: tuple[str, ...]


def routes_considered(decision: Plan | Denied, snapshot: Snapshot) -> tuple[ConsideredRoute, ...]:
    """Return the routes that were looked at, in order; none if a model was pinned, or names were unknown."""
    if decision.facts.model is not None or _refused_at_the_door(decision):
        return ()
    subject = _subject(decision, snapshot)
    found = []
    for route in decision.policy.routes:
        lacks = failing(route.when, subject)
        decides = lacks is None and not route.observe
        found.append(ConsideredRoute(route, lacks, decides))
        if decides:
            break
    return tuple(found)


def constraints_considered(
    decision: Plan | Denied, snapshot: Snapshot
) -> tuple[ConsideredConstraint, ...]:
    """Return every constraint of the policy, with what it did; none if the request never met them."""
    if _refused_at_the_door(decision):
        return ()
    subject = _subject(decision, snapshot)
    return tuple(
        _constraint(one, failing(one.when, subject), decision)
        for one in decision.policy.constraints
    )


def tags_held(decision: Plan | Denied) -> tuple[HeldTag, ...]:
    """Return the residency tags that hold, each with who brought it."""
    policy, facts = decision.policy, decision.facts
    task = policy.tasks.get(facts.task) if facts.task is not None else None
    by_default = not own_tags(policy, facts)
    held = []
    for name in decision.residency:
        own = (
            ("request", facts.residency == name),
            ("task", task is not None and task.residency == name),
            ("session", name in facts.taints),
            ("default", by_default and name == policy.default_residency),
        )
        sources = tuple(source for source, brought in own if brought)
        held.append(HeldTag(policy.residency[name], sources))
    return tuple(held)


def objectives(plan: Plan) -> tuple[Slo, ...]:
    """Return the latency objectives that hold: of the route and of the task."""
    route = deciding_route(plan)
    own = (route.slo if route is not None else None, plan.task.slo if plan.task else None)
    return tuple(slo for slo in own if slo)


def split_share(plan: Plan, kept: Kept) -> float | None:
    """Return the share of the keys that draw the candidate's model first; None: nothing is drawn there.

    What a filter took out has none; the models that are left share its part by their weights.
    """
    route = deciding_route(plan)
    for use in route.use if route is not None else ():
        entry = f"route {plan.route!r}, {use.what} ("
        weights = dict(use.weights)
        if not kept.reason.startswith(entry) or kept.candidate.model.name not in weights:
            continue
        left = {one.candidate.model.name for one in plan.kept if one.reason.startswith(entry)}
        of_all = sum(weight for name, weight in weights.items() if name in left)
        return weights[kept.candidate.model.name] / of_all
    return None


def deciding_route(decision: Plan | Denied) -> Route | None:
    """Return the route that decided; None if a model was pinned, or none applied."""
    if decision.facts.model is not None:
        return None
    return next((one for one in decision.policy.routes if one.name == decision.route), None)


def residency_terms(tag: Residency) -> dict[str, Any]:
    """Return what a tag allows, as a policy file would write it, ready for JSON."""
    return _lists(regions=tag.regions, operators=tag.operators, retention=tag.retention)


def constraint_terms(constraint: Constraint) -> dict[str, Any]:
    """Return what a constraint restricts, as a policy file would write it, ready for JSON."""
    allow = _lists(
        regions=constraint.regions,
        operators=constraint.operators,
        retention=constraint.retention,
        backends=constraint.backends,
        models=constraint.models,
    )
    deny = _lists(backends=constraint.denied_backends, models=constraint.denied_models)
    told: dict[str, Any] = {"allow": allow, "deny": deny} | _ceilings(constraint.ceilings)
    return {name: value for name, value in told.items() if value}


def terms_text(told: Mapping[str, Any]) -> str:
    """Return such terms in one line; `anything` if there are none."""
    parts = []
    for name, value in told.items():
        if isinstance(value, dict):
            parts.append(f"{name} {terms_text(value)}")
        else:
            parts.append(f"{name} {', '.join(value) if isinstance(value, list) else value}")
    return "; ".join(parts) or "anything"


def _refused_at_the_door(decision: Plan | Denied) -> bool:
    """True if the request was denied for a name, or for having no tag, before any rule was looked at."""
    if isinstance(decision, Plan) or decision.route is not None or decision.dropped:
        return False
    return decision.rule != _NO_ROUTE


def _subject(decision: Plan | Denied, snapshot: Snapshot) -> Subject:
    facts = decision.facts
    task = decision.policy.tasks.get(facts.task) if facts.task is not None else None
    return Subject(facts, decision.residency, task, snapshot.now_utc, snapshot.held)


def _constraint(
    constraint: Constraint, lacks: str | None, decision: Plan | Denied
) -> ConsideredConstraint:
    rule = f"constraint {constraint.name!r}"
    dropped = (drop.candidate.name for drop in decision.dropped if drop.rule.endswith(rule))
    would = (
        text.removeprefix(f"{rule} would ")
        for text in decision.observed
        if text.startswith(f"{rule} would ")
    )
    return ConsideredConstraint(constraint, lacks, tuple(dict.fromkeys(dropped)), tuple(would))


def _lists(**names: Iterable[str]) -> dict[str, Any]:
    return {name: sorted(values) for name, values in names.items() if values}


def _ceilings(ceilings: Ceilings) -> dict[str, str]:
    told = {
        "max_output_price": ceilings.output_price,
        "max_request_cost": ceilings.request_cost,
    }
    return {name: f"{value:f}" for name, value in told.items() if value is not None}
