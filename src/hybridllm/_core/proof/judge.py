"""Who may be asked at all, worked out a second time: from what tags and constraints say, and nothing else.

Written without `decide/filters.py`, so that a mistake there is not repeated here. A request's own tags are
read from its facts, a backend's terms from its declarations; what is not declared allows nothing. It knows
no routes, no order, no prices and no sizes: it is only asked whether data may go somewhere.
"""

from __future__ import annotations

from collections.abc import Collection

from hybridllm._core.policy.compiled import Backend, Candidate, Constraint, Policy
from hybridllm._core.request.facts import Facts


def tags_of(policy: Policy, facts: Facts) -> frozenset[str]:
    """Return the tags that hold for a request, in this judge's own reading."""
    brought = _brought(policy, facts)
    if not brought and policy.default_residency is not None:
        brought = {policy.default_residency}
    return frozenset(brought.union(facts.taints))


def _brought(policy: Policy, facts: Facts) -> set[str]:
    """Return the tags of the request itself and of its task."""
    brought = {facts.residency} if facts.residency is not None else set()
    for task in policy.tasks.values():
        if task.name == facts.task and task.residency is not None:
            brought.add(task.residency)
    return brought


def objections(
    policy: Policy, facts: Facts, candidate: Candidate, held: Collection[Constraint] = ()
) -> tuple[str, ...]:
    """Return why a request may not go to a candidate; nothing if it may.

    Args:
        policy: The rules.
        facts: Of the request.
        candidate: Who would be asked.
        held: Constraints that hold for the request.
    """
    backend = candidate.backend
    tags = tags_of(policy, facts)
    found = [
        reason
        for tag in sorted(tags)
        for reason in (backend_objection(policy, tag, backend),)
        if reason is not None
    ]
    if policy.deny_untagged and not _brought(policy, facts):
        found.append("a request without a residency tag is denied")
    if backend.environments and facts.environment not in backend.environments:
        found.append(f"{backend.name!r} is not for environment {facts.environment!r}")
    found += [
        f"model {candidate.model.name!r} cannot {need.value}"
        for need in sorted(facts.needs)
        if need not in candidate.model.capabilities
    ]
    for constraint in held:
        found += constraint_objections(constraint, candidate)
    return tuple(found)


def backend_objection(policy: Policy, tag: str, backend: Backend) -> str | None:
    """Return why data with a tag may not go to a backend, in words; None if it may."""
    declared = policy.residency.get(tag)
    if declared is None:
        return f"tag {tag!r} is not declared"
    terms = (backend.region, backend.operator, backend.retention)
    if terms == (None, None, None):
        return f"{backend.name!r} declares no terms, and tag {tag!r} is for those that do"
    for word, term, wanted in zip(
        ("region", "operator", "retention"),
        terms,
        (declared.regions, declared.operators, declared.retention),
        strict=True,
    ):
        if len(wanted) and (term is None or term not in wanted):
            return f"{word} of {backend.name!r} is {term or 'undeclared'}; tag {tag!r} wants " + (
                " or ".join(sorted(wanted))
            )
    return None


def constraint_objections(constraint: Constraint, candidate: Candidate) -> tuple[str, ...]:
    """Return why a constraint keeps a candidate out, whatever a request costs; nothing if it does not."""
    backend, model = candidate.backend, candidate.model.name
    wanted = (
        (constraint.regions, backend.region),
        (constraint.operators, backend.operator),
        (constraint.retention, backend.retention),
        (constraint.backends, backend.name),
        (constraint.models, model),
    )
    found = []
    if any(len(names) and value not in names for names, value in wanted):
        found.append(f"constraint {constraint.name!r} does not allow {candidate.name}")
    if backend.name in constraint.denied_backends or model in constraint.denied_models:
        found.append(f"constraint {constraint.name!r} denies {candidate.name}")
    ceiling, price = constraint.ceilings.output_price, candidate.price
    if ceiling is not None and (price is None or price.usd_per_mtok_out > ceiling):
        found.append(f"constraint {constraint.name!r} sets a price that {candidate.name} is above")
    return tuple(found)
