"""Which price is in force for a candidate. Not known is None, never zero."""

from __future__ import annotations

from decimal import Decimal

from hybridllm._core.money.book import BookEntry
from hybridllm._core.money.price import Price
from hybridllm._core.policy.compiled import BackendKind
from hybridllm._core.policy.schema import BackendSpec, ModelSpec, ServedSpec
from hybridllm._core.policy.schema_price import FREE, PriceSpec


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


def _price(declared: PriceSpec, model_name: str) -> Price:
    if declared is FREE:
        return Price(Decimal(0), Decimal(0), price_id="policy:free")
    return Price(
        usd_per_mtok_in=declared.input_per_1m,
        usd_per_mtok_out=declared.output_per_1m,
        usd_per_mtok_cached_in=declared.cached_input_per_1m,
        price_id=f"policy:{model_name}",
    )
