"""The matrix made of what can be reached: by tag and backend, and by whom nobody is reached.

Why a backend is out of reach is asked of the filter that production runs; that, and everything that is
reached, is held against the second judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hybridllm._core.decide.decide import PINNED
from hybridllm._core.decide.filters import constraint_drop, environment_drop, residency_drop
from hybridllm._core.decide.plan import Dropped, Plan
from hybridllm._core.policy.compiled import Candidate, Constraint, Policy
from hybridllm._core.policy.repriced import at_its_cheapest
from hybridllm._core.proof.judge import backend_objection
from hybridllm._core.proof.matrix import Cell, Limited, ReachMatrix, Row, Unserved, Way
from hybridllm._core.proof.reach import Disagreement, Reach, Reached, reach_of
from hybridllm._core.proof.taken import shares_of
from hybridllm._core.proof.verdict import carrying, violations

_Ways = dict[tuple[str, str | None], tuple[int, dict[str, None]]]
"""Route and capability -> classes of tasks and tags, and models."""


def matrix_of(policy: Policy) -> ReachMatrix:
    """Return who can be reached by which requests, all of it looked at.

    Raises:
        Disagreement: If the proof fails: the code that decides and the code that proves are at odds.
    """
    policy = at_its_cheapest(policy)
    shares = shares_of(policy)
    reach = _judged(reach_of(policy, shares, thorough=True))
    limited, decisions = [], reach.decisions
    for constraint in policy.constraints:
        if not constraint.observe and not shares.blind:
            within = _judged(reach_of(policy, shares, thorough=False, within=constraint))
            limited.append(_limited(within, constraint))
            decisions += within.decisions
    untagged = any(one.tags == () for one in reach.reached)
    tags = [*policy.residency, *([None] if untagged else [])]
    return ReachMatrix(
        policy.name,
        policy.version,
        policy.environment,
        tuple(_row(reach, tag) for tag in tags),
        tuple(limited),
        tuple(_unserved(reach, tags)),
        decisions,
        tuple(reach.notes),
    )


def _judged(reach: Reach) -> Reach:
    for violation in violations(reach):
        raise Disagreement(violation.message)
    return reach


def _row(reach: Reach, tag: str | None) -> Row:
    cells = []
    found = _backends(reach, [one for one in reach.reached if _carries(one, tag)])
    for candidate in _serving(reach.policy):
        name = candidate.backend.name
        drop = _drop(reach.policy, tag, candidate)
        reason = drop.reason.value if drop is not None else None
        cells.append(Cell(name, reason, drop.detail if drop is not None else None, found(name)))
    return Row(tag, tuple(cells))


def _limited(reach: Reach, constraint: Constraint) -> Limited:
    cells = []
    found = _backends(reach, reach.reached)
    policy = reach.policy
    for candidate in _serving(policy):
        name = candidate.backend.name
        served = [
            c for of_model in policy.candidates.values() for c in of_model if c.backend.name == name
        ]
        drops = [constraint_drop(one, constraint) for one in served]
        drop = drops[0] if all(drops) else environment_drop(candidate, policy.environment)
        reason = drop.reason.value if drop is not None else None
        cells.append(Cell(name, reason, drop.detail if drop is not None else None, found(name)))
    return Limited(constraint.name, str(constraint.when), tuple(cells))


def _serving(policy: Policy) -> list[Candidate]:
    """Return one candidate of each backend that serves a model, in the order of the file."""
    serving = {c.backend.name: c for served in policy.candidates.values() for c in served}
    return [serving[name] for name in policy.backends if name in serving]


def _backends(reach: Reach, reached: Iterable[Reached]) -> Callable[[str], tuple[Way, ...]]:
    """Return how each backend is reached."""
    found: dict[str, _Ways] = {}
    for one in reached:
        for kept in one.outcome.kept if isinstance(one.outcome, Plan) else ():
            ways = found.setdefault(kept.candidate.backend.name, {})
            for capability in sorted(one.ask.needs) or (None,):
                key = (one.route, capability)
                who, models = ways.get(key, (0, {}))
                models[kept.candidate.model.name] = None
                ways[key] = (who | one.who, models)
    return lambda name: _ways(reach, found.get(name, {}))


def _carries(one: Reached, tag: str | None) -> bool:
    return tag in one.tags if tag is not None else not one.tags


def _drop(policy: Policy, tag: str | None, candidate: Candidate) -> Dropped | None:
    """Return what keeps a backend out of reach, as production tells it; the judge must agree."""
    drop = residency_drop(candidate, (policy.residency[tag],)) if tag is not None else None
    objection = backend_objection(policy, tag, candidate.backend) if tag is not None else None
    if (drop is None) != (objection is None):
        told = drop.detail if drop else "it is let through"
        raise Disagreement(
            f"{candidate.name}: {told}, and {objection or 'nothing speaks against it'}"
        )
    return drop or environment_drop(candidate, policy.environment)


def _ways(reach: Reach, found: _Ways) -> tuple[Way, ...]:
    order = {route.name: place for place, route in enumerate(reach.policy.routes)}
    order[PINNED] = len(order)
    return tuple(
        Way(route, capability, _task_names(reach, who), tuple(models))
        for (route, capability), (who, models) in sorted(
            found.items(), key=lambda item: (order[item[0][0]], item[0][1] or "")
        )
    )


def _task_names(reach: Reach, who: int) -> tuple[str | None, ...]:
    labels = reach.space.who.labels
    return tuple(labels[task] if task else None for task in reach.space.who.tasks_in(who))


def _unserved(reach: Reach, tags: Iterable[str | None]) -> Iterator[Unserved]:
    """Yield what is denied; tags that are denied alike are told together, and nothing twice."""
    who = reach.space.who
    everybody = who.tasks_in(reach.shares.view.whole[0])
    found: dict[tuple[str | None, tuple[int, ...], tuple[str, ...]], list[str | None]] = {}
    for tag in tags:
        plain: tuple[int, ...] = ()
        for capability in _capabilities(reach):
            tasks, rules = _denied(reach, tag, capability)
            tasks = tuple(task for task in tasks if task not in plain)
            plain = tasks if capability is None else plain
            if tasks:
                told = () if tasks == everybody else tasks
                found.setdefault((capability, told, rules), []).append(tag)
    for (capability, tasks, rules), of_tags in found.items():
        names = tuple(who.labels[task] if task else None for task in tasks)
        yield Unserved(tuple(of_tags), names, capability, rules)


def _denied(
    reach: Reach, tag: str | None, capability: str | None
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the tasks of which no request with a tag that needs a capability is served, and why not."""
    who, where, served = reach.space.who, carrying(reach, tag), 0
    rules: dict[str, int] = {}
    for one in reach.reached:
        if one.route == PINNED or not one.who & where or not _asks(one, capability):
            continue
        if isinstance(one.outcome, Plan):
            served |= one.who
        else:
            rules[one.outcome.rule] = rules.get(one.outcome.rule, 0) | one.who
    tasks = [t for t in who.tasks_in(where) if not served & where & who.of_task(t)]
    classes = sum(who.of_task(task) for task in tasks) & where
    told = tuple(rule for rule, bits in rules.items() if bits & classes)
    return tuple(tasks), told or ("no route matches",)


def _capabilities(reach: Reach) -> tuple[str | None, ...]:
    asked = dict.fromkeys(need for ask in reach.space.asks for need in ask.needs)
    return (None, *(need.value for need in asked))


def _asks(one: Reached, capability: str | None) -> bool:
    return capability in one.ask.needs if capability is not None else not one.ask.needs
