"""The hard filters: what no route, failover or fallback can get round.

Each answers for one candidate with None (it may be asked) or the reason why it may not. A term that a
backend has not declared fails every tag that asks for it: unknown is the worst case.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hybridllm._core.decide.plan import Dropped, DropReason
from hybridllm._core.money.price import cost_usd
from hybridllm._core.money.usage import Usage, UsageSource
from hybridllm._core.policy.compiled import Candidate, Capability, Model, Residency
from hybridllm._core.request.facts import Facts

OUTPUT_TOKENS_ASSUMED = 1_024  # for a cost ceiling, where the caller set no max_tokens


def residency_drop(candidate: Candidate, tags: Iterable[Residency]) -> Dropped | None:
    """Apply every residency tag of the request; the first that forbids the backend drops it."""
    backend = candidate.backend
    for tag in tags:
        if (
            (not tag.regions or backend.region in tag.regions)
            and (not tag.operators or backend.operator in tag.operators)
            and (not tag.retention or backend.retention in tag.retention)
        ):
            continue
        for term, value, allowed, reason in (
            ("region", backend.region, tag.regions, DropReason.REGION),
            ("operator", backend.operator, tag.operators, DropReason.OPERATOR),
            ("retention", backend.retention, tag.retention, DropReason.RETENTION),
        ):
            if allowed and value not in allowed:
                has = f"{term} {value!r}" if value is not None else f"undeclared {term}"
                names = ", ".join(sorted(allowed))
                return Dropped(
                    candidate, reason, f"{has} is not in [{names}] (residency {tag.tag!r})"
                )
    return None


def environment_drop(candidate: Candidate, environment: str) -> Dropped | None:
    """A backend that names its environments is used in no other."""
    allowed = candidate.backend.environments
    if not allowed or environment in allowed:
        return None
    names = ", ".join(sorted(allowed))
    detail = (
        f"environment {environment!r} is not in [{names}] of backend {candidate.backend.name!r}"
    )
    return Dropped(candidate, DropReason.ENVIRONMENT, detail)


def capability_drop(candidate: Candidate, needs: frozenset[Capability]) -> Dropped | None:
    """A model must list every capability that the request needs."""
    missing = needs - candidate.model.capabilities
    if not missing:
        return None
    names = ", ".join(sorted(missing))
    detail = f"model {candidate.model.name!r} does not list {names} in its capabilities"
    return Dropped(candidate, DropReason.CAPABILITY, detail)


def vector_space_drop(candidate: Candidate, space: Model | None) -> Dropped | None:
    """Embeddings stay with one model, whatever happens to it; None: no embeddings are wanted."""
    if space is None or candidate.model is space:
        return None
    detail = f"vectors of {candidate.model.name!r} do not compare with those of {space.name!r}"
    return Dropped(candidate, DropReason.VECTOR_SPACE, detail)


def context_drop(candidate: Candidate, facts: Facts) -> Dropped | None:
    """Prompt and answer must fit the context, as far as both are known."""
    context = candidate.model.context_tokens
    wanted = facts.input_tokens_estimate + (facts.output_tokens_max or 0)
    if context is None or wanted <= context:
        return None
    detail = (
        f"about {facts.input_tokens_estimate} prompt tokens and {facts.output_tokens_max or 0} for the "
        f"answer do not fit the context of {context} of model {candidate.model.name!r}"
    )
    return Dropped(candidate, DropReason.CONTEXT, detail)


def cost_drop(candidate: Candidate, facts: Facts) -> Dropped | None:
    """What the request may cost must be known, and under the caller's ceiling."""
    ceiling = facts.max_cost_usd
    if ceiling is None:
        return None
    if candidate.price is None:
        detail = f"no price is known, so max_cost_usd {ceiling} cannot be kept"
        return Dropped(candidate, DropReason.COST, detail)
    expected = expected_cost_usd(candidate, facts)
    if expected is not None and expected <= ceiling:
        return None
    return Dropped(
        candidate, DropReason.COST, f"expected to cost {expected} USD, above max_cost_usd {ceiling}"
    )


def expected_cost_usd(candidate: Candidate, facts: Facts) -> Decimal | None:
    """Return what the request is expected to cost on a candidate; None: no price is known."""
    if candidate.price is None:
        return None
    output = (
        facts.output_tokens_max if facts.output_tokens_max is not None else OUTPUT_TOKENS_ASSUMED
    )
    tokens_in = max(facts.input_tokens_total, facts.input_tokens_estimate)
    usage = Usage(tokens_in, output * facts.answers, source=UsageSource.ESTIMATED)
    return cost_usd(usage, candidate.price)
