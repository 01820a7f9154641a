"""Which price is in force for a candidate. Not known is None, never zero."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import partial

from hybridllm._core.money.book import BookEntry
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import BackendKind, Candidate
from hybridllm._core.policy.schema import BackendSpec, ModelSpec, ServedSpec
from hybridllm._core.policy.schema_price import FREE, PriceSpec

_Rates = tuple[Decimal, Decimal, Decimal]  # prompt, answer, cached prompt


def is_own(backend: BackendSpec) -> bool:
    """Return whether we run it ourselves: then its tokens cost what the policy says, or nobody knows."""
    return backend.kind is BackendKind.VLLM or backend.operator == "self"


def price_in_force(
    served: ServedSpec,
    backend: BackendSpec,
    model: ModelSpec,
    entry: BookEntry | None,
    *,
    model_name: str,
) -> Price | None:
    """Return the first price there is: of the pair, the backend, the model, the model book.

    The last two are what hosted APIs ask; they say nothing of a backend of our own.
    """
    declared = served.price or backend.price
    if declared is None and not is_own(backend):
        declared = model.price
        if declared is None:
            return entry.price if entry else None
    return None if declared is None else _price(declared, model_name)


def list_prices(
    candidates: Iterable[Candidate],
    model: ModelSpec,
    entry: BookEntry | None,
    *,
    model_name: str,
    environment: str,
) -> tuple[Price, ...]:
    """Return what hosted APIs ask for a model: several, if the mix of tokens decides which is the cheapest.

    Of the policy's own APIs, as far as its environment uses them. If it has none, the list price of the model
    or the model book: what is served at home alone can be compared too. Nothing: none of these is known.
    """
    asked = [
        one.price
        for one in candidates
        if one.price is not None
        and one.backend.kind is BackendKind.API
        and one.backend.operator != "self"
        and (not one.backend.environments or environment in one.backend.environments)
    ]
    if not asked:
        listed = _price(model.price, model_name) if model.price is not None else None
        listed = listed or (entry.price if entry is not None else None)
        asked = [listed] if listed is not None else []
    rates = {_rates(price): price for price in asked}
    return tuple(rates[one] for one in sorted(rates) if not any(map(partial(_under, one), rates)))


def _rates(price: Price) -> _Rates:
    cached = price.usd_per_mtok_cached_in
    if cached is None:
        cached = price.usd_per_mtok_in
    return price.usd_per_mtok_in, price.usd_per_mtok_out, cached


def _under(rates: _Rates, others: _Rates) -> bool:
    """Whether the others are nowhere dearer, and somewhere cheaper."""
    return others != rates and all(two <= one for one, two in zip(rates, others, strict=True))


def _price(declared: PriceSpec, model_name: str) -> Price:
    if declared is FREE:
        return Price(Decimal(0), Decimal(0), price_id="policy:free")
    return Price(
        usd_per_mtok_in=declared.input_per_1m,
        usd_per_mtok_out=declared.output_per_1m,
        usd_per_mtok_cached_in=declared.cached_input_per_1m,
        price_id=f"policy:{model_name}",
    )
