"""The decision: a policy, the facts of a request and the state of the world in, a plan out.

A function of values. `explain`, tests of policies and production run this very code. The hard
filters come before everything; what they leave is frozen in the plan.

What depends on the request's class alone (route, residency, capabilities) is worked out once per
class and remembered; lengths, ceilings and load are looked at for every request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from hybridllm._core.decide import filters
from hybridllm._core.decide.match import fits, route_for
from hybridllm._core.decide.plan import Denied, Dropped, Kept, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Capability, Model, Policy, Route, Task, Use
from hybridllm._core.policy.problems import nearest
from hybridllm._core.request.facts import Facts

PINNED = "(pinned)"
CLASSES_REMEMBERED = 4_096


def decide(policy: Policy, facts: Facts, snapshot: Snapshot) -> Plan | Denied:
    """Return who may be asked for a request, in order, or why nobody may.

    Args:
        policy: The rules.
        facts: What is known of the request.
        snapshot: Load of the backends; orders equals, never adds or removes anybody.
    """
    choice = _choice(
        policy,
        facts.operation,
        facts.task,
        facts.residency,
        facts.tenant,
        facts.environment,
        facts.model,
        facts.needs,
    )
    if choice.denied is not None:
        rule, message = choice.denied
        return Denied(policy, facts, rule, message, choice.route, choice.dropped, choice.residency)
    groups, dropped, names = choice.groups, choice.dropped, choice.dropped_names
    wanted = facts.input_tokens_estimate + (facts.output_tokens_max or 0)
    if wanted > choice.context_tokens_min or facts.max_cost_usd is not None:
        groups, dropped = _fitting(groups, dropped, facts)
        if not groups:
            return _denied_for_size(policy, facts, choice, dropped)
        names = tuple([(drop.candidate.name, drop.detail) for drop in dropped])
    kept: tuple[Kept, ...] = ()
    for group in groups:
        kept += group.kept if group.ordered else _by_load(group.kept, snapshot)
    route = choice.route or PINNED
    return Plan(policy, facts, route, kept, dropped, names, choice.task, choice.residency)


@dataclass(frozen=True, slots=True)
class _Group:
    """Candidates of one model, equal but for load unless `ordered`."""

    kept: tuple[Kept, ...]
    ordered: bool


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the policy says to a class of requests."""

    route: str | None
    groups: tuple[_Group, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    dropped_names: tuple[tuple[str, str], ...] = ()
    context_tokens_min: float = float("inf")
    task: Task | None = None
    residency: tuple[str, ...] = ()
    denied: tuple[str, str] | None = None


@lru_cache(maxsize=CLASSES_REMEMBERED)
def _choice(
    policy: Policy,
    operation: str,
    task_name: str | None,
    tag: str | None,
    tenant: str | None,
    environment: str,
    model: str | None,
    needs: frozenset[Capability],
) -> _Choice:
    if task_name is not None and policy.known_tasks and not fits(policy.known_tasks, (task_name,)):
        return _refused(
            f"unknown task {task_name!r}", "task", task_name, policy.known_tasks, policy
        )
    task = policy.tasks.get(task_name) if task_name is not None else None
    tags = _tags(policy, tag, task)
    for name in tags:
        if name not in policy.residency:
            return _refused(
                f"unknown residency tag {name!r}", "residency", name, policy.residency, policy
            )
    if not tags and policy.deny_untagged:
        allowed = ", ".join(sorted(policy.residency))
        message = (
            f"policy {policy.name!r} denies requests without a residency tag (default_residency: deny); "
            f"pass residency=, one of: {allowed}"
        )
        return _Choice(None, denied=("default_residency: deny", message))
    if model is not None:
        if model not in policy.candidates:
            return _refused(f"unknown model {model!r}", "model", model, policy.candidates, policy)
        return _filtered(policy, None, model, tags, task, environment, needs)
    route = route_for(
        policy.routes, task=task_name, residency=tags, tenant=tenant, environment=environment
    )
    if route is None:
        names = ", ".join(route.name for route in policy.routes)
        message = (
            f"no route of policy {policy.name!r} matches task {task_name!r}, residency {tags}, "
            f"tenant {tenant!r}, environment {environment!r}; routes: {names}; "
            "add a last route without `when`"
        )
        return _Choice(None, denied=("no route matches", message), residency=tags)
    return _filtered(policy, route, None, tags, task, environment, needs)


def _tags(policy: Policy, tag: str | None, task: Task | None) -> tuple[str, ...]:
    """The request's own tag and its task's both hold; only without any does the default."""
    own = [name for name in (tag, task.residency if task else None) if name is not None]
    if not own and policy.default_residency is not None:
        own = [policy.default_residency]
    return tuple(dict.fromkeys(own))


@lru_cache(maxsize=CLASSES_REMEMBERED)
def _filtered(
    policy: Policy,
    route: Route | None,
    model: str | None,
    tags: tuple[str, ...],
    task: Task | None,
    environment: str,
    needs: frozenset[Capability],
) -> _Choice:
    """Apply the hard filters to a route's candidates, or to those of the model that was pinned."""
    uses = route.use if route is not None else _pinned(policy, model)
    route_name = route.name if route is not None else None
    residency = [policy.residency[name] for name in tags]
    groups: list[_Group] = []
    dropped: list[Dropped] = []
    first = uses[0].model
    space = _vector_space(uses) if Capability.EMBEDDINGS in needs else None
    for place, use in enumerate(uses):
        kept: list[Kept] = []
        for candidate in use.candidates:
            drop = (
                filters.residency_drop(candidate, residency)
                or filters.environment_drop(candidate, environment)
                or filters.capability_drop(candidate, needs)
                or filters.vector_space_drop(candidate, space)
            )
            if drop is not None:
                dropped.append(drop)
            elif not _stands(groups, candidate.name):
                reason = _reason(route_name, place, use)
                kept.append(Kept(candidate, use.fallback or use.model is not first, reason))
        if kept:
            groups.append(_Group(tuple(kept), use.ordered))
    if not groups:
        denied = _nobody(policy, route_name, tags, dropped, needs)
        return _Choice(route_name, dropped=tuple(dropped), residency=tags, denied=denied)
    contexts = [
        kept.candidate.model.context_tokens or float("inf")
        for group in groups
        for kept in group.kept
    ]
    names = tuple([(drop.candidate.name, drop.detail) for drop in dropped])
    return _Choice(route_name, tuple(groups), tuple(dropped), names, min(contexts), task, tags)


def _vector_space(uses: tuple[Use, ...]) -> Model | None:
    """The first model that embeds: the vectors of another would not compare with its."""
    embedding = (use.model for use in uses if Capability.EMBEDDINGS in use.model.capabilities)
    return next(embedding, None)


def _pinned(policy: Policy, model: str | None) -> tuple[Use, ...]:
    candidates = policy.candidates[model] if model is not None else ()
    return (Use(candidates[0].model, candidates),)


def _stands(groups: list[_Group], name: str) -> bool:
    return any(kept.candidate.name == name for group in groups for kept in group.kept)


def _reason(route: str | None, place: int, use: Use) -> str:
    if route is None:
        return f"the caller pinned model {use.model.name!r}"
    part = "fallback" if use.fallback else "use"
    order = "backends in the order of `on`" if use.ordered else "least loaded backend first"
    return f"route {route!r}, model {place + 1} ({part}); {order}"


def _fitting(
    groups: tuple[_Group, ...], dropped: tuple[Dropped, ...], facts: Facts
) -> tuple[tuple[_Group, ...], tuple[Dropped, ...]]:
    fitting: list[_Group] = []
    drops = list(dropped)
    for group in groups:
        kept = []
        for one in group.kept:
            drop = filters.context_drop(one.candidate, facts) or filters.cost_drop(
                one.candidate, facts
            )
            if drop is None:
                kept.append(one)
            else:
                drops.append(drop)
        if kept:
            fitting.append(_Group(tuple(kept), group.ordered))
    return tuple(fitting), tuple(drops)


def _by_load(kept: tuple[Kept, ...], snapshot: Snapshot) -> tuple[Kept, ...]:
    """Least loaded first; equals stay in the order of the policy file."""
    if len(kept) == 1 or not snapshot.in_flight:
        return kept
    in_flight = snapshot.in_flight
    return tuple(sorted(kept, key=lambda one: in_flight.get(one.candidate.backend.name, 0)))


def _refused(rule: str, kind: str, name: str, known: Iterable[str], policy: Policy) -> _Choice:
    names = sorted(known)
    hint = nearest(name, names)
    allowed = ", ".join(names) or "none is declared"
    message = f"{kind} {name!r} is not in policy {policy.name!r}; known: {allowed}{hint}"
    return _Choice(None, denied=(rule, message))


def _nobody(
    policy: Policy,
    route: str | None,
    tags: tuple[str, ...],
    dropped: list[Dropped],
    needs: frozenset[Capability],
) -> tuple[str, str]:
    about_data = [
        drop for drop in dropped if drop.reason.value in ("region", "operator", "retention")
    ]
    if about_data and tags:
        rule = f"residency {tags[0]!r}"
    elif needs:
        rule = f"capabilities {', '.join(sorted(needs))}"
    else:
        rule = f"route {route!r}" if route else "pinned model"
    why = (
        "; ".join(f"{drop.candidate.name}: {drop.detail}" for drop in dropped) or "it names nobody"
    )
    where = f"route {route!r}" if route else "the pinned model"
    return rule, f"policy {policy.name!r}: {rule} leaves nobody to ask on {where}: {why}"


def _denied_for_size(
    policy: Policy, facts: Facts, choice: _Choice, dropped: tuple[Dropped, ...]
) -> Denied:
    last = dropped[-1]
    rule = "max_cost_usd" if last.reason.value == "cost" else "context length"
    where = f"route {choice.route!r}" if choice.route else "the pinned model"
    why = "; ".join(f"{drop.candidate.name}: {drop.detail}" for drop in dropped)
    message = f"policy {policy.name!r}: {rule} leaves nobody to ask on {where}: {why}"
    return Denied(policy, facts, rule, message, choice.route, dropped, choice.residency)
