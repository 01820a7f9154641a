"""What requests would cost with somebody else, from what the ledger has seen of him: a value and its bounds.

Tokens differ between models: an answer is as long as those of its model in its task were, against those of
the model that gave it; a prompt counts as many tokens as its model counts. What was never seen is taken from
the request itself, within wide bounds. A bound is on the sum over all requests of a group.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from hybridllm._core.backtest.groups import Alike
from hybridllm._core.backtest.histogram import Spread
from hybridllm._core.backtest.judge import Destination
from hybridllm._core.backtest.seen import SIGMAS, Seen, SeenAll
from hybridllm._core.decide.filters import OUTPUT_TOKENS_ASSUMED
from hybridllm._core.money.pico import PICO
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import Candidate

UNSEEN_OUT = (0.5, 2.0)
"""An answer of a model that was never seen, against the one that was given."""
UNSEEN_IN = (0.7, 1.4)
"""Prompt tokens, as another tokeniser counts them."""
GUESSED_OUT = (0.0, 4.0)
"""An answer to a request that had none, against what is assumed."""

PICO_PER_USD_MTOK = 1_000_000
"""A price of 1 USD per 1,000,000 tokens, in 10^-12 USD per token."""


class Tokens(NamedTuple):
    """Of all requests of a group together."""

    prompt: Spread
    answer: Spread
    cached_share: Spread


class Cost(NamedTuple):
    """In 10^-12 USD, of all requests of a group; `unpriced`: so many have no known price."""

    spread: Spread
    unpriced: float = 0.0


def cost_with(group: Alike, target: Destination, seen: SeenAll) -> Cost:
    """Return what the requests of a group would cost if all of them went to a target.

    If its first attempt fails, or its backend has too much to do, somebody else answers: the bounds hold for
    as many of them as may.
    """
    first = _with(group, target.candidate, seen)
    low, high = first.spread.low or 0.0, first.spread.high or 0.0
    if target.spill is not None:
        instead = _with(group, target.spill, seen).spread
        low, high = min(low, instead.low or 0.0), max(high, instead.high or 0.0)
    if target.behind is not None:
        instead = _with(group, target.behind, seen).spread
        failing = failing_at_most(group, target, seen)
        low = min(low, low + failing * ((instead.low or 0.0) - low))
        high += failing * (instead.high or 0.0)  # a failed attempt may be billed too
    if target.then is not None:
        high += _with(group, target.then, seen).spread.high or 0.0
    return Cost(Spread(first.spread.value, low, high), first.unpriced)


def failing_at_most(group: Alike, target: Destination, seen: SeenAll) -> float:
    """Return the share of requests that somebody behind a target may have to answer."""
    known = seen.of(target.candidate.name, group.same.task)
    return seen.everybody.fails_at_most if known is None else known.fails_at_most


def mixed(costs: list[tuple[float, Cost]], requests: int) -> Cost:
    """Return the cost of requests of which each goes to one of several, by shares; drawn for each."""
    value = sum(share * (cost.spread.value or 0.0) for share, cost in costs)
    low = sum(share * (cost.spread.low or 0.0) for share, cost in costs)
    high = sum(share * (cost.spread.high or 0.0) for share, cost in costs)
    if len(costs) > 1 and requests:
        variance = sum(
            share * (((cost.spread.value or 0.0) - value) / requests) ** 2 for share, cost in costs
        )
        drawn = SIGMAS * sqrt(requests * variance)
        low, high = low - drawn, high + drawn
    unpriced = sum(share * cost.unpriced for share, cost in costs)
    return Cost(Spread(value, max(0.0, low), high), unpriced)


def _with(group: Alike, candidate: Candidate, seen: SeenAll) -> Cost:
    price = group.same.price_of(candidate)
    if price is None:
        return Cost(Spread.exact(0.0), float(group.requests))
    tokens = tokens_with(group, candidate.name, seen)
    fee = float(price.usd_per_request or 0) * PICO * group.requests
    value, low, high = (fee + _pico(price, *one) for one in zip(*tokens, strict=True))
    return Cost(Spread(value, min(low, value), max(high, value)))


def tokens_with(group: Alike, name: str, seen: SeenAll) -> Tokens:
    """Return the tokens that the requests of a group would have with a candidate."""
    other = seen.of(name, group.same.task)
    own = seen.of(group.same.served, group.same.task)
    same_model = group.same.served is not None and _model(group.same.served) == _model(name)
    missing = group.requests - group.counted
    prompt, answer = _of_answered(group, own, other, same_model=same_model)
    if missing:
        share = missing / group.requests
        counts = other.counts_in if other is not None else 1.0
        prompt = _plus(prompt, _spread(group.estimated_in * share * counts, UNSEEN_IN))
        if other is not None:
            guessed = _near(missing * other.tokens_out, other.out_error)
        else:
            usual = seen.everybody.tokens_out if seen.everybody.answers else OUTPUT_TOKENS_ASSUMED
            guessed = _spread(missing * usual, GUESSED_OUT)
        answer = _plus(answer, guessed)
    had = group.cached_in / group.tokens_in if group.tokens_in else 0.0
    cached = other.cached_share if other is not None else 0.0
    return Tokens(prompt, answer, Spread(cached, max(cached, had), 0.0))


def _of_answered(
    group: Alike, own: Seen | None, other: Seen | None, *, same_model: bool
) -> tuple[Spread, Spread]:
    """Return prompt and answer tokens of those of a group that were answered."""
    if own is not None and other is not None and other.tokens_out and own.tokens_out:
        ratio = other.tokens_out / own.tokens_out
        answer = _near(group.tokens_out * ratio, own.out_error + other.out_error)
        counts = other.counts_in / own.counts_in
        prompt = _near(group.tokens_in * counts, own.in_error + other.in_error)
        if same_model:  # what it would say is what it said
            answer = Spread(float(group.tokens_out), *_around(answer, group.tokens_out))
            prompt = Spread(float(group.tokens_in), *_around(prompt, group.tokens_in))
        return prompt, answer
    if same_model:
        return _near(group.tokens_in, 0.05), _near(group.tokens_out, 0.25)
    return _spread(group.tokens_in, UNSEEN_IN), _spread(group.tokens_out, UNSEEN_OUT)


def _around(spread: Spread, value: float) -> tuple[float, float]:
    return min(spread.low or 0.0, value * 0.95), max(spread.high or 0.0, value * 1.05)


def _near(value: float, error: float) -> Spread:
    return Spread(value, value * max(0.0, 1 - error), value * (1 + error))


def _spread(value: float, times: tuple[float, float]) -> Spread:
    return Spread(value, value * times[0], value * times[1])


def _plus(one: Spread, other: Spread) -> Spread:
    return Spread(*((a or 0.0) + (b or 0.0) for a, b in zip(one, other, strict=True)))


def _pico(
    price: Price, prompt: float | None, answer: float | None, cached_share: float | None
) -> float:
    tokens_in, tokens_out = prompt or 0.0, answer or 0.0
    rate_in = float(price.usd_per_mtok_in)
    if price.usd_per_mtok_cached_in is not None:
        rate_in += (cached_share or 0.0) * (float(price.usd_per_mtok_cached_in) - rate_in)
    return PICO_PER_USD_MTOK * (tokens_in * rate_in + tokens_out * float(price.usd_per_mtok_out))


def _model(name: str) -> str:
    return name.partition("/")[2]
