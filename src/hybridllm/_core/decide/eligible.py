"""Who may be asked at all: the one place where a set of candidates is made.

Whatever a request needs beside its answer (an embedding, a judge, a shadow copy, a cache) takes its
backends from here too; a test holds that nobody else makes a `Kept`. Every restriction that applies is
folded by intersection, in any order: what one of them drops, none of the others brings back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from hybridllm._core.decide import filters
from hybridllm._core.decide.plan import Dropped, DropReason, Kept, Plan
from hybridllm._core.decide.snapshot import EPOCH
from hybridllm._core.policy.compiled import (
    Candidate,
    Capability,
    Constraint,
    OrderBy,
    Route,
    Use,
)
from hybridllm._core.policy.residency import Residency
from hybridllm._core.request.facts import Facts

_ORDER_WORDS = {
    OrderBy.FILE: "backends in the order of `on`",
    OrderBy.LOAD: "least loaded backend first",
    OrderBy.PRICE: "cheapest for this request first",
    OrderBy.LATENCY: "lowest measured latency first",
    OrderBy.MARGINAL_PRICE: "what adds least to the bill first, own machines while they have room",
    OrderBy.PREFIX: "where its prefix goes first, else the least loaded backend",
}


class Why(IntEnum):
    """Why somebody stands where it stands, in an order by prefix."""

    HOME = 0
    SESSION = 1
    NEXT = 2
    BUSY = 3
    SLOW = 4
    AWAY = 5


_WHY_WORDS = {
    Why.HOME: "requests that begin like it go there, so that their beginning is cached",
    Why.SESSION: "its session goes there, so that the session's beginning is cached",
    Why.NEXT: "next for requests that begin like it",
    Why.BUSY: "it has its share of the requests under way already",
    Why.SLOW: "it would let it wait longer than a cached beginning saves",
    Why.AWAY: "it can take nothing now: saturated, refused or asleep",
}
_NO_LIMIT = float("inf")


@dataclass(frozen=True, slots=True)
class Limits:
    """What restricts a class of requests, all of it at once.

    Attributes:
        tags: Every residency tag that holds.
        space: Vector space of embeddings; None: no embeddings are wanted.
        constraints: Those that fit the request, observed ones among them.
        at: When; prices may move.
    """

    tags: tuple[Residency, ...]
    environment: str
    needs: frozenset[Capability]
    space: str | None = None
    constraints: tuple[Constraint, ...] = ()
    at: datetime = EPOCH


@dataclass(frozen=True, slots=True)
class Group:
    """The candidates of one entry of a route, and what orders them.

    Attributes:
        kept: As they stand if they are asked first.
        behind: Of a split: the same, as they stand behind the model that was drawn.
        request_cost: Ceiling of what the request may be expected to cost, in USD.
        cost_rule: Who set it: `max_request_cost of route 'cheap'`.
        output_price: The lowest ceiling of what completion tokens may cost, and who set it.
        placed: Of an order by prefix: the same, by `Why` each may stand where it stands.
    """

    kept: tuple[Kept, ...]
    use: Use
    behind: tuple[Kept, ...] = ()
    request_cost: Decimal | None = None
    cost_rule: str = ""
    placed: tuple[tuple[Kept, ...], ...] = ()
    output_price: Ceiling | None = None


class Ceiling(NamedTuple):
    """The lowest of the ceilings that apply, in USD, and who set it."""

    usd: Decimal | None
    rule: str


@dataclass(frozen=True, slots=True)
class Eligible:
    """Who may be asked, before the size of the request at hand is looked at.

    Attributes:
        groups: In the order of the route; none of them is empty.
        context_tokens_min: Requests up to this length fit everywhere.
        costed: True if a ceiling on the request's cost applies to somebody, or one on the price of completion
            tokens to somebody whose price depends on the length of the prompt.
        repeats: True if somebody stands in two groups: a ceiling may drop one from the first only.
        observed: What constraints in `mode: observe` would have dropped, in words.
        watched: (constraint, ceiling) of those of them that judge the cost of the request.
    """

    groups: tuple[Group, ...]
    dropped: tuple[Dropped, ...]
    context_tokens_min: float
    costed: bool
    repeats: bool
    observed: tuple[str, ...]
    watched: tuple[tuple[str, Decimal], ...]


def eligible(uses: Sequence[Use], route: Route | None, limits: Limits) -> Eligible:
    """Return who of a route's entries (or of the pinned model, without a route) may be asked."""
    enforced = [one for one in limits.constraints if not one.observe]
    groups: list[Group] = []
    dropped: list[Dropped] = []
    first = {candidate.model for candidate in uses[0].candidates}
    for place, use in enumerate(uses):
        price, cost = _ceilings(use, route, enforced)
        kept: list[Candidate] = []
        for candidate in use.candidates:
            drop = _drop(candidate, limits, enforced, price)
            if drop is not None:
                dropped.append(drop)
            else:
                kept.append(candidate)
        if kept:
            groups.append(_group(kept, use, route, (price, cost), another=place > 0 and first))
    standing = [one.candidate for group in groups for one in group.kept]
    contexts = [one.model.context_tokens or _NO_LIMIT for one in standing]
    watching = [one for one in limits.constraints if one.observe]
    observed, watched = _observed(groups, watching, limits.at)
    return Eligible(
        tuple(groups),
        _told_once(dropped, groups),
        min(contexts, default=_NO_LIMIT),
        any(group.request_cost is not None or _stepped(group) for group in groups),
        len(set(standing)) < len(standing),
        observed,
        watched,
    )


def fitting(
    found: Eligible, facts: Facts, wanted: int, at: datetime
) -> tuple[tuple[Group, ...], tuple[Dropped, ...]]:
    """Return the groups without those who are too small or too dear for the request at hand.

    `wanted` is its length, prompt and answer; `at`: when it is made.
    """
    too_long = wanted > found.context_tokens_min
    groups: list[Group] = []
    dropped = list(found.dropped)
    for group in found.groups:
        out: set[str] = set()
        least = filters.lower(facts.max_cost_usd, group.request_cost)
        for one in group.kept:
            drop = filters.context_drop(one.candidate, facts) if too_long else None
            if drop is None and group.output_price is not None:
                drop = _too_dear_so_long(one.candidate, group.output_price, facts, at)
            if drop is None and filters.above(one.candidate, facts, least, at):
                own = filters.cost_drop(
                    one.candidate, facts, facts.max_cost_usd, at, rule="max_cost_usd"
                )
                drop = own or filters.cost_drop(
                    one.candidate, facts, group.request_cost, at, rule=group.cost_rule
                )
            if drop is not None:
                dropped.append(drop)
                out.add(one.candidate.name)
        if len(out) < len(group.kept):
            groups.append(_without(group, out) if out else group)
    if len(dropped) == len(found.dropped):
        return found.groups, found.dropped
    return tuple(groups), _told_once(dropped, groups)


def _stepped(group: Group) -> bool:
    """Whether a ceiling on the price of completion tokens meets a price that depends on the prompt."""
    return group.output_price is not None and any(
        one.candidate.tariff is not None and one.candidate.tariff.stepped for one in group.kept
    )


def _too_dear_so_long(
    candidate: Candidate, ceiling: Ceiling, facts: Facts, at: datetime
) -> Dropped | None:
    """Apply a ceiling on the output price to what that is for a prompt of this length."""
    if candidate.tariff is None or not candidate.tariff.stepped:
        return None
    tokens = filters.input_tokens(facts)
    return filters.price_drop(candidate, ceiling.usd, at, input_tokens=tokens, rule=ceiling.rule)


def affordable(plan: Plan, closed: Mapping[int, tuple[str, str]]) -> Plan:
    """Return a plan without those whom a budget has no room for.

    Args:
        plan: The plan.
        closed: (rule, reason in words) by their place in it; not everybody's.
    """
    if not closed:
        return plan
    dropped = tuple(
        Dropped(plan.kept[place].candidate, DropReason.BUDGET, detail, rule)
        for place, (rule, detail) in closed.items()
    )
    return replace(
        plan,
        kept=tuple([one for place, one in enumerate(plan.kept) if place not in closed]),
        dropped=plan.dropped + dropped,
        dropped_names=plan.dropped_names
        + tuple((one.candidate.name, one.detail) for one in dropped),
    )


def _told_once(dropped: Iterable[Dropped], groups: Iterable[Group]) -> tuple[Dropped, ...]:
    """Each candidate with the first reason that dropped it, unless it stands somewhere all the same."""
    kept = {one.candidate.name for group in groups for one in group.kept}
    told: dict[str, Dropped] = {}
    for drop in dropped:
        if drop.candidate.name not in kept:
            told.setdefault(drop.candidate.name, drop)
    return tuple(told.values())


def too_dear(
    found: Eligible, groups: Iterable[Group], facts: Facts, at: datetime
) -> tuple[str, ...]:
    """Return what observed ceilings on the request's cost would have dropped, in words."""
    told = []
    for name, ceiling in found.watched:
        out = [
            kept.candidate.name
            for group in groups
            for kept in group.kept
            if filters.cost_drop(kept.candidate, facts, ceiling, at, rule="max_request_cost")
        ]
        if out:
            told.append(_would_drop(name, out))
    return tuple(told)


def _drop(
    candidate: Candidate, limits: Limits, enforced: Iterable[Constraint], price: Ceiling
) -> Dropped | None:
    drop = (
        filters.residency_drop(candidate, limits.tags)
        or filters.environment_drop(candidate, limits.environment)
        or filters.capability_drop(candidate, limits.needs)
        or filters.vector_space_drop(candidate, limits.space)
    )
    for constraint in enforced:
        drop = drop or filters.constraint_drop(candidate, constraint)
    return drop or filters.price_drop(candidate, price.usd, limits.at, rule=price.rule)


def _ceilings(
    use: Use, route: Route | None, constraints: Iterable[Constraint]
) -> tuple[Ceiling, Ceiling]:
    """Return the lowest ceilings on the output price and on the request's cost."""
    own = f"of route {route.name!r}, {use.what}" if route is not None else f"of {use.what}"
    setters = [(use.ceilings, own)]
    if route is not None:
        setters.append((route.ceilings, f"of route {route.name!r}"))
    setters += [(one.ceilings, f"of constraint {one.name!r}") for one in constraints]
    return (
        _lowest("max_output_price", [(one.output_price, by) for one, by in setters]),
        _lowest("max_request_cost", [(one.request_cost, by) for one, by in setters]),
    )


def _lowest(name: str, ceilings: Iterable[tuple[Decimal | None, str]]) -> Ceiling:
    found = Ceiling(None, name)
    for usd, by in ceilings:
        if usd is not None and (found.usd is None or usd < found.usd):
            found = Ceiling(usd, f"{name} {by}")
    return found


def _group(
    candidates: Sequence[Candidate],
    use: Use,
    route: Route | None,
    ceilings: tuple[Ceiling, Ceiling],
    *,
    another: object,
) -> Group:
    """Make a group; `another` holds the models of the first entry, or is false for the first itself."""

    def standing(reason: str) -> tuple[Kept, ...]:
        return tuple(
            Kept(
                candidate,
                use.fallback or bool(isinstance(another, set) and candidate.model not in another),
                reason,
            )
            for candidate in candidates
        )

    reason = _reason(route, use)
    behind: tuple[Kept, ...] = ()
    if use.weights:
        behind = tuple(Kept(one, True, f"{reason}; another model was drawn") for one in candidates)
    placed: tuple[tuple[Kept, ...], ...] = ()
    if use.order_by is OrderBy.PREFIX:
        placed = tuple(standing(_reason(route, use, _WHY_WORDS[why])) for why in Why)
    price, cost = ceilings
    output_price = price if price.usd is not None else None
    return Group(standing(reason), use, behind, cost.usd, cost.rule, placed, output_price)


def _without(group: Group, out: set[str]) -> Group:
    return Group(
        tuple(one for one in group.kept if one.candidate.name not in out),
        group.use,
        tuple(one for one in group.behind if one.candidate.name not in out),
        group.request_cost,
        group.cost_rule,
        tuple(
            tuple(one for one in placed if one.candidate.name not in out) for placed in group.placed
        ),
        group.output_price,
    )


def _reason(route: Route | None, use: Use, order: str = "") -> str:
    if route is None:
        return f"the caller pinned {use.what}"
    part = "fallback" if use.fallback else "use"
    drawn = f"drawn by weight, sticky by {use.sticky_by}"
    order = order or (drawn if use.weights else _ORDER_WORDS[use.order_by])
    return f"route {route.name!r}, {use.what} ({part}); {order}"


def _observed(
    groups: Iterable[Group], constraints: Iterable[Constraint], at: datetime
) -> tuple[tuple[str, ...], tuple[tuple[str, Decimal], ...]]:
    told: list[str] = []
    watched: list[tuple[str, Decimal]] = []
    for constraint in constraints:
        out = [
            kept.candidate.name
            for group in groups
            for kept in group.kept
            if filters.constraint_drop(kept.candidate, constraint)
            or filters.price_drop(kept.candidate, constraint.ceilings.output_price, at)
        ]
        if out:
            told.append(_would_drop(constraint.name, out))
        if constraint.ceilings.request_cost is not None:
            watched.append((constraint.name, constraint.ceilings.request_cost))
    return tuple(told), tuple(watched)


def _would_drop(constraint: str, names: Iterable[str]) -> str:
    return f"constraint {constraint!r} would drop {', '.join(dict.fromkeys(names))}"
