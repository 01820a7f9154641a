"""What one attempt cost.

Money is `Decimal` and exact; whoever prints it rounds it. A price is a dated value that the receipt
keeps: history is never priced anew. No price is no cost, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.money.usage import Usage

_TOKENS_PER_MTOK = Decimal(1_000_000)
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Price:
    """USD per 1,000,000 tokens, and where the figure is from.

    Attributes:
        usd_per_mtok_in: Prompt tokens.
        usd_per_mtok_out: Completion tokens, reasoning included.
        usd_per_mtok_cached_in: Prompt tokens the backend had cached; None: the full input price.
        price_id: The book entry or policy line, with its date: `qwen3-8b@2026-06`, `policy:qwen3-8b`; what of
            it applied stands behind a `#`: `policy:gpt@2026-11-01#flex,above-200000`.
        usd_per_mtok_cache_write: Prompt tokens the backend wrote into its cache; None: the full input price.
        usd_per_request: On top, for each attempt; None: nothing.
        currency: That its source asks it in; `usd_per_unit`: USD for one of it. The rates are in USD.
    """

    usd_per_mtok_in: Decimal
    usd_per_mtok_out: Decimal
    usd_per_mtok_cached_in: Decimal | None = None
    price_id: str = "policy"
    usd_per_mtok_cache_write: Decimal | None = None
    usd_per_request: Decimal | None = None
    currency: str = "USD"
    usd_per_unit: Decimal = _ONE

    @property
    def free(self) -> bool:
        """True if whatever is used costs nothing."""
        return not (
            self.usd_per_mtok_in
            or self.usd_per_mtok_out
            or self.usd_per_mtok_cached_in
            or self.usd_per_mtok_cache_write
            or self.usd_per_request
        )


def cost_usd(usage: Usage, price: Price) -> Decimal:
    """Return what one attempt cost in USD, exact and unrounded.

    Cached tokens and those written into a cache are parts of the input tokens and are charged once, at
    their own price if there is one. No count reported is no cost, not zero: do not call.
    """
    cached = usage.cached_input_tokens or 0
    total = (
        usage.input_tokens * price.usd_per_mtok_in + usage.output_tokens * price.usd_per_mtok_out
    )
    if cached and price.usd_per_mtok_cached_in is not None:
        total += cached * (price.usd_per_mtok_cached_in - price.usd_per_mtok_in)
    written = usage.cache_write_tokens
    if written and price.usd_per_mtok_cache_write is not None:
        total += written * (price.usd_per_mtok_cache_write - price.usd_per_mtok_in)
    total /= _TOKENS_PER_MTOK
    return total if price.usd_per_request is None else total + price.usd_per_request


def cheapest(prices: Sequence[Price], usage: Usage | None) -> Price | None:
    """Return the price at which the tokens cost least; of tokens that nobody counted, the first."""
    if usage is None or len(prices) < 2:
        return prices[0] if prices else None
    return min(prices, key=lambda price: cost_usd(usage, price))
