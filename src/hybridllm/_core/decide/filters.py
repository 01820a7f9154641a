"""The hard filters: what no route, failover or fallback can get round.

Each answers for one candidate with None (it may be asked) or the reason why it may not. A term that a
backend has not declared fails every tag that asks for it: unknown is the worst case.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from hybridllm._core.decide.plan import Dropped, DropReason
from hybridllm._core.money.tariff import Atto
from hybridllm._core.policy.compiled import (
    Candidate,
    Capability,
    Constraint,
)
from hybridllm._core.policy.residency import Residency
from hybridllm._core.request.facts import Facts

ATTO_PER_USD = 10**18
OUTPUT_TOKENS_ASSUMED = 1_024  # for a cost ceiling, where the caller set no max_tokens


def residency_drop(candidate: Candidate, tags: Iterable[Residency]) -> Dropped | None:
    """Apply every residency tag of the request; the first that forbids the backend drops it."""
    backend = candidate.backend
    for tag in tags:
        if not backend.terms_declared:
            detail = (
                f"backend {backend.name!r} declares neither region nor operator nor retention, so it is "
                f"eligible for no request with a residency tag ({tag.tag!r})"
            )
            return Dropped(candidate, DropReason.TERMS, detail, f"residency {tag.tag!r}")
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
                rule = f"residency {tag.tag!r}"
                return Dropped(candidate, reason, f"{has} is not in [{names}] ({rule})", rule)
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
    return Dropped(candidate, DropReason.ENVIRONMENT, detail, f"environment {environment!r}")


def capability_drop(candidate: Candidate, needs: frozenset[Capability]) -> Dropped | None:
    """A model must list every capability that the request needs."""
    missing = needs - candidate.model.capabilities
    if not missing:
        return None
    names = ", ".join(sorted(missing))
    detail = f"model {candidate.model.name!r} does not list {names} in its capabilities"
    return Dropped(candidate, DropReason.CAPABILITY, detail, f"capabilities {names}")


def vector_space_drop(candidate: Candidate, space: str | None) -> Dropped | None:
    """Embeddings stay in one vector space, whatever happens to it; None: no embeddings are wanted."""
    if space is None or candidate.model.vector_space == space:
        return None
    own = candidate.model.vector_space
    has = f"is in vector space {own!r}" if own else "is in no vector space"
    detail = f"model {candidate.model.name!r} {has}, and vectors of {space!r} are wanted"
    return Dropped(candidate, DropReason.VECTOR_SPACE, detail, f"vector space {space!r}")


def constraint_drop(candidate: Candidate, constraint: Constraint) -> Dropped | None:
    """Apply what a constraint says of backends and models; its ceilings are folded with all others."""
    backend, model = candidate.backend, candidate.model.name
    rule = f"constraint {constraint.name!r}"
    for what, value, allowed in (
        ("backend", backend.name, constraint.backends),
        ("model", model, constraint.models),
        ("region", backend.region, constraint.regions),
        ("operator", backend.operator, constraint.operators),
        ("retention", backend.retention, constraint.retention),
    ):
        if allowed and value not in allowed:
            has = f"{what} {value!r}" if value is not None else f"undeclared {what}"
            names = ", ".join(sorted(allowed))
            detail = f"{has} is not in [{names}] ({rule})"
            return Dropped(candidate, DropReason.CONSTRAINT, detail, rule)
    for what, value, denied in (
        ("backend", backend.name, constraint.denied_backends),
        ("model", model, constraint.denied_models),
    ):
        if value in denied:
            detail = f"{what} {value!r} is denied ({rule})"
            return Dropped(candidate, DropReason.CONSTRAINT, detail, rule)
    return None


def price_drop(
    candidate: Candidate,
    ceiling: Decimal | None,
    at: datetime,
    *,
    input_tokens: int = 0,
    rule: str = "max_output_price",
) -> Dropped | None:
    """What a candidate's completion tokens cost must be known, and under the ceiling."""
    if ceiling is None:
        return None
    price = candidate.price_at(at, input_tokens)
    if price is None:
        detail = f"no price is known, so {ceiling} cannot be kept ({rule})"
    elif price.usd_per_mtok_out > ceiling:
        detail = f"output price {price.usd_per_mtok_out} is above {ceiling} ({rule})"
    else:
        return None
    return Dropped(candidate, DropReason.PRICE, detail, rule)


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
    return Dropped(candidate, DropReason.CONTEXT, detail, "context length")


def cost_drop(
    candidate: Candidate, facts: Facts, ceiling: Decimal | None, at: datetime, *, rule: str
) -> Dropped | None:
    """What the request may cost must be known, and under the ceiling that `rule` sets."""
    if ceiling is None:
        return None
    expected = expected_cost_atto(candidate, facts, at)
    if expected is None:
        detail = f"no price is known, so {ceiling} cannot be kept ({rule})"
    elif expected <= ceiling * ATTO_PER_USD:
        return None
    else:
        detail = f"expected to cost {usd_of(expected):f} USD, above {ceiling} ({rule})"
    return Dropped(candidate, DropReason.COST, detail, rule)


def lower(one: Decimal | None, other: Decimal | None) -> int | None:
    """Return the lower of two ceilings in 10^-18 USD, rounded down; None: there is none."""
    given = [usd for usd in (one, other) if usd is not None]
    return int(min(given) * ATTO_PER_USD) if given else None


def above(candidate: Candidate, facts: Facts, ceiling: int | None, at: datetime) -> bool:
    """Whether a candidate's expected cost is not known, or above a ceiling in 10^-18 USD."""
    if ceiling is None:
        return False
    expected = expected_cost_atto(candidate, facts, at)
    return expected is None or expected > ceiling


def expected_cost_usd(candidate: Candidate, facts: Facts, at: datetime) -> Decimal | None:
    """Return what the request is expected to cost on a candidate; None: no price is known."""
    expected = expected_cost_atto(candidate, facts, at)
    return None if expected is None else usd_of(expected)


def expected_cost_atto(candidate: Candidate, facts: Facts, at: datetime) -> int | None:
    """Return the same in 10^-18 USD: exact, and compared forty times in a decision."""
    prices = candidate.atto
    if candidate.varies:
        prices = candidate.atto_at(at, input_tokens(facts))
    return None if prices is None else cost_atto(prices, facts)


def input_tokens(facts: Facts) -> int:
    """Return how many prompt tokens a request is expected to be charged for."""
    return max(facts.input_tokens_total, facts.input_tokens_estimate)


def cost_atto(prices: Atto, facts: Facts) -> int:
    """Return what the request is expected to cost at these prices."""
    output = facts.output_tokens_max
    if output is None:
        output = OUTPUT_TOKENS_ASSUMED
    tokens = input_tokens(facts) * prices.prompt + output * facts.answers * prices.completion
    return tokens + prices.request


def usd_of(atto: int) -> Decimal:
    """Return an amount in USD, exact, without zeros at its end."""
    sign, digits, _ = Decimal(atto).as_tuple()
    return Decimal((sign, digits, -18)).normalize()
