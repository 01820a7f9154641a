"""What a request may cost at most, and whose budgets would pay for it.

The worst case is reserved: the prompt as estimated, and every answer as long as it may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from hybridllm._core.budget.periods import Span, span_of
from hybridllm._core.decide.filters import input_tokens
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.budgets import EACH, Budget
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.request.facts import Facts

OUTPUT_TOKENS_UNKNOWN = 4_096
"""Of an answer of which neither the caller nor the model's context says how long it may be."""
_ATTO_PER_PICO = 10**6
_ATTO_PER_MTOK_USD = 10**12


class Account(NamedTuple):
    """What is spent together: a budget, for one of those who have one each, in one period.

    Attributes:
        whose: `acme`; of several keys `tenant 'acme', task 'chat'`; empty: everybody's together.
        period: `2026-11`, see `periods.py`.
    """

    budget: str
    whose: str
    period: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request would have of one account.

    Attributes:
        places: Of the candidates, in the plan's `kept`, that it pays for.
        span: Its period.
    """

    budget: Budget
    account: Account
    places: tuple[int, ...]
    span: Span

    def __str__(self) -> str:
        whose = self.account.whose
        return f"{self.budget}, of {whose}" if whose and self.budget.scope else f"{self.budget}"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that asks for money.

    Attributes:
        candidates: Of the plan's `kept`, in order.
        costs_pico: What one attempt at each costs at most; None: no price is known.
        claims: On every account that would pay for any of them.
    """

    candidates: tuple[Candidate, ...]
    costs_pico: tuple[int | None, ...]
    claims: tuple[Claim, ...]


def ask_of(plan: Plan, now_utc: datetime) -> Ask:
    """Return what a request asks for, at a moment that decides about its periods."""
    candidates = tuple([one.candidate for one in plan.kept])
    facts = plan.facts
    claims: list[Claim] = []
    for budget in plan.policy.budgets:
        who = _whose_request(budget, facts, plan.route)
        if who is None:
            continue
        span = span_of(budget.per, now_utc)
        for whose, places in _by_candidate(budget, who, candidates):
            claims.append(Claim(budget, Account(budget.name, whose, span.key), places, span))
    return Ask(
        candidates, tuple([worst_pico(one, facts, now_utc) for one in candidates]), tuple(claims)
    )


def worst_pico(candidate: Candidate, facts: Facts, at: datetime) -> int | None:
    """Return what one attempt costs at most in 10^-12 USD, rounded up; None: no price is known.

    The prompt is an estimate, and a backend may bill more than it was allowed to write: what is settled in
    the end is what it said that it used.
    """
    tokens_in = input_tokens(facts)
    prices = candidate.atto_at(at, tokens_in) if candidate.varies else candidate.atto
    if prices is None:
        return None
    tokens_out = facts.output_tokens_max
    if tokens_out is None:
        context = candidate.model.context_tokens
        tokens_out = OUTPUT_TOKENS_UNKNOWN
        if context is not None:
            tokens_out = max(context - facts.input_tokens_estimate, 0)
    price = candidate.price_at(at, tokens_in)
    prompt = prices.prompt
    if price is not None and price.usd_per_mtok_cache_write is not None:
        prompt = max(prompt, math.ceil(price.usd_per_mtok_cache_write * _ATTO_PER_MTOK_USD))
    atto = tokens_in * prompt + tokens_out * facts.answers * prices.completion + prices.request
    return -(-atto // _ATTO_PER_PICO)


def _whose_request(budget: Budget, facts: Facts, route: str) -> list[tuple[str, str]] | None:
    """Return what a budget knows the request by; None: it is not about such requests.

    Where each value has a budget of its own, requests without a value have one together.
    """
    found = []
    for key, wanted in budget.of_request:
        value = route if key == "route" else getattr(facts, key)
        if wanted not in (EACH, value):
            return None
        found.append((key, value or ""))
    return found


def _by_candidate(
    budget: Budget, who: list[tuple[str, str]], candidates: Sequence[Candidate]
) -> list[tuple[str, tuple[int, ...]]]:
    """Return whose money it is and for which candidates; one account, or one for each backend or model."""
    if not budget.of_candidate:
        return [(_whose(who), tuple(range(len(candidates))))]
    places: dict[str, list[int]] = {}
    for place, one in enumerate(candidates):
        names = {"backend": one.backend.name, "model": one.model.name}
        own = [(key, names[key]) for key, _ in budget.of_candidate]
        if all(wanted in (EACH, names[key]) for key, wanted in budget.of_candidate):
            places.setdefault(_whose([*who, *own]), []).append(place)
    return [(whose, tuple(found)) for whose, found in places.items()]


def _whose(found: Sequence[tuple[str, str]]) -> str:
    if len(found) == 1:
        return found[0][1]
    # With quotes, so that no value can look like two.
    return ", ".join(f"{key} {value!r}" for key, value in found)
