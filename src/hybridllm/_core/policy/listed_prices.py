"""What hosted APIs ask for a model. Apart from how prices are read: a request loads nothing of that."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import partial

from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import BackendKind, Candidate, Policy

_Rates = tuple[Decimal, Decimal, Decimal]  # prompt, answer, cached prompt


def list_prices_at(
    policy: Policy, model: str, at: datetime | None, *, input_tokens: int | None = None
) -> tuple[Price, ...]:
    """Return what hosted APIs ask for a model: several, if the mix of tokens decides which is the cheapest.

    Of the policy's own APIs, as far as its environment uses them. If it has none, the list price of the model
    or the model book: what is served at home alone can be compared too. Nothing: none of these is known.

    Args:
        policy: Has them.
        model: Its name in the policy.
        at: When; None: at last, as far as is declared.
        input_tokens: Of one request, for prices that depend on it and on the hour. None: what is usual.
    """
    if at is None or not policy.prices_differ:
        return policy.list_prices.get(model, ())
    asked: list[Price | None] = []
    for one in hosted(policy.candidates.get(model, ()), policy.environment):
        if one.tariff is None:
            asked.append(one.price)
        elif input_tokens is None:
            asked.append(one.tariff.usual(at))
        else:
            asked.append(one.tariff.price(at, input_tokens=input_tokens))
    if asked:
        return cheapest_of_all(asked)
    found = next((one for one in policy.listed.get(model, ()) if one.holds(at)), None)
    return () if found is None else (found.price,)


def hosted(candidates: Iterable[Candidate], environment: str) -> Iterable[Candidate]:
    """Yield the candidates of hosted APIs that an environment uses and that have a price."""
    for one in candidates:
        backend = one.backend
        used = not backend.environments or environment in backend.environments
        if used and backend.kind is BackendKind.API and not backend.own and one.price is not None:
            yield one


def cheapest_of_all(prices: Iterable[Price | None]) -> tuple[Price, ...]:
    """Return those that are the cheapest for some mix of tokens."""
    rates = {_rates(price): price for price in prices if price is not None}
    return tuple(rates[one] for one in sorted(rates) if not any(map(partial(_under, one), rates)))


def _rates(price: Price) -> _Rates:
    cached = price.usd_per_mtok_cached_in
    if cached is None:
        cached = price.usd_per_mtok_in
    return price.usd_per_mtok_in, price.usd_per_mtok_out, cached


def _under(rates: _Rates, others: _Rates) -> bool:
    """Whether the others are nowhere dearer, and somewhere cheaper."""
    return others != rates and all(two <= one for one, two in zip(rates, others, strict=True))
