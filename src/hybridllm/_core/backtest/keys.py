"""Which recorded requests a policy does not tell apart: all that are judged together have one key.

What no rule looks at is left out, and a number counts by the side of each bound that it is on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from typing import Any

from hybridllm._core.backtest.rows import Asked
from hybridllm._core.ledger.periods import instant
from hybridllm._core.policy.ceilings import Ceilings
from hybridllm._core.policy.compiled import OrderBy, Policy
from hybridllm._core.policy.conditions import METADATA, Hours, Leaf, Number, leaves, within
from hybridllm._core.policy.hybrid import Volume

_MINUTE_US = 60_000_000
_BY_COST = frozenset({OrderBy.PRICE, OrderBy.MARGINAL_PRICE})


class Keys:
    """The keys of requests under one policy."""

    def __init__(self, policy: Policy) -> None:
        found = _leaves_of(policy)
        looks_at, own = policy.looks_at, _volumes_of(found)
        self._tenant = "tenant" in looks_at or "tenant" in own or policy.splits
        self._feature = "feature" in looks_at or policy.splits
        self._session = "session" in looks_at or policy.splits or bool(policy.taints)
        self._tags = "tags" in looks_at
        self._metadata = policy.splits or any(fact.startswith(METADATA) for fact in looks_at)
        self._hours = tuple(one for one in found if isinstance(one, Hours))
        self._lengths = tuple(
            one for one in found if isinstance(one, Number) and one.fact == "input_tokens"
        )
        self._contexts = sorted(
            {one.context_tokens for one in policy.models.values() if one.context_tokens}
        )
        by_price = policy.prices_differ and _looks_at_price(policy)
        self._by_cost = _looks_at_cost(policy) or by_price
        self._by_minute = policy.prices_move and self._by_cost
        self._hours_at: dict[int, Hashable] = {}
        self._lengths_of: dict[int, Hashable] = {}

    def of(self, asked: Asked) -> Hashable:
        """Return the key of a request."""
        return (
            asked.candidates,
            asked.served_backend,
            asked.served_model,
            asked.outcome,
            asked.route,
            asked.task,
            asked.residency_given,
            asked.residency,
            asked.stream,
            asked.model_pinned,
            asked.needs,
            asked.operation,
            asked.vector_space,
            asked.tenant if self._tenant else None,
            asked.feature if self._feature else None,
            asked.session if self._session else None,
            asked.tags if self._tags else None,
            asked.keys if self._metadata else None,
            self._size(asked),
            self._time(asked.started_us),
        )

    def _size(self, asked: Asked) -> Hashable:
        estimate, total = asked.input_tokens_estimate, asked.input_tokens_total
        output, ceiling = asked.output_tokens_max, asked.max_cost_pico
        if self._by_cost or ceiling is not None:
            return (estimate, total, output, asked.answers, ceiling)
        place = bisect_left(self._contexts, estimate + (output or 0))
        if not self._lengths:
            return place
        sides = self._lengths_of.get(estimate)
        if sides is None:
            sides = tuple(one.holds(estimate) for one in self._lengths)
            self._lengths_of[estimate] = sides
        return (place, sides)

    def _time(self, started_us: int) -> Hashable:
        minute = started_us // _MINUTE_US
        if self._by_minute or not self._hours:
            return minute if self._by_minute else None
        found = self._hours_at.get(minute)
        if found is None:
            at = instant(started_us)
            found = self._hours_at[minute] = tuple(within(one, at) for one in self._hours)
        return found


def _leaves_of(policy: Policy) -> list[Leaf]:
    whens = [route.when for route in policy.routes]
    whens += [constraint.when for constraint in policy.constraints]
    return list(dict.fromkeys(leaf for when in whens for leaf in leaves(when)))


def _volumes_of(found: list[Any]) -> set[str]:
    return {one.scope for one in found if isinstance(one, Volume)}


def _looks_at_cost(policy: Policy) -> bool:
    """Whether what a request is expected to cost has a say, beside a ceiling of its own."""
    return any(one.request_cost is not None for one in _ceilings(policy)) or any(
        use.order_by in _BY_COST for route in policy.routes for use in route.use
    )


def _looks_at_price(policy: Policy) -> bool:
    """Whether what a token costs has a say."""
    return any(one.output_price is not None for one in _ceilings(policy))


def _ceilings(policy: Policy) -> list[Ceilings]:
    found = [route.ceilings for route in policy.routes]
    found += [constraint.ceilings for constraint in policy.constraints]
    found += [use.ceilings for route in policy.routes for use in route.use]
    return found
