"""From tokens that were seen to the traffic of a scenario: volume, mix, cached shares."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from hybridllm._core.economics.sums import api_usd
from hybridllm._core.ledger.periods import DAY_US
from hybridllm._core.money.break_even import UNKNOWN_SHARE_MAX
from hybridllm._core.money.price import Price

_DAY_US = Decimal(DAY_US)
DAYS_MIN = 7
"""Fewer days are no picture of a month, and that is said."""


class Seen(NamedTuple):
    """What attempts of one model on one backend used.

    Attributes:
        attempts: Whose tokens are known; `uncounted`: that may have been billed, and whose are not.
        cached_in: Of `told_in`, the prompt tokens of attempts that told how many were cached.
    """

    model: str
    backend: str
    attempts: int
    uncounted: int
    tokens_in: int
    tokens_out: int
    cached_in: int
    told_in: int


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen from the first attempt on, up to `until_us`."""

    seen: tuple[Seen, ...]
    first_us: int
    until_us: int

    @property
    def days(self) -> Decimal:
        """How long it is; a day at least, for minutes say nothing of a day."""
        return max(Decimal(1), (self.until_us - self.first_us) / _DAY_US)


@dataclass(frozen=True, slots=True)
class MeasuredPart:
    """The traffic of one model, per day."""

    model: str
    price: Price
    tokens_in: Decimal
    tokens_out: Decimal
    cached_share: Decimal

    @property
    def tokens(self) -> Decimal:
        """Prompts and answers."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class Measured:
    """Traffic with a price, per day, and what was left out.

    Attributes:
        unpriced: Models without a price, `unpriced_share`: their share of all tokens.
    """

    parts: tuple[MeasuredPart, ...]
    days: Decimal
    unpriced: tuple[str, ...]
    unpriced_share: Decimal
    uncounted: int

    @property
    def tokens_per_day(self) -> Decimal:
        """Of models with a price."""
        return sum((part.tokens for part in self.parts), start=Decimal(0))

    @property
    def known(self) -> bool:
        """Whether enough of it has a price to tell what an API would cost."""
        return bool(self.parts) and self.unpriced_share <= UNKNOWN_SHARE_MAX

    def notes(self) -> Iterator[str]:
        """Yield what whoever reads the sums should know."""
        if self.days < DAYS_MIN:
            yield f"only {self.days:.1f} days of traffic are in the ledger: no picture of a month yet"
        if self.unpriced:
            share = f"{self.unpriced_share * 100:.1f} % of the tokens"
            yield f"left out, for want of a price: {', '.join(self.unpriced)} ({share})"
        more = [part.model for part in self.parts if part.price.usd_per_request]
        if more:
            yield f"what {', '.join(more)} costs per request is left out: tokens alone are weighed"
        if self.uncounted:
            yield f"{self.uncounted:,} attempts are left out: nobody knows their tokens"


def measured(
    window: Window, prices: Mapping[str, tuple[Price, ...]], *, hosted: Collection[str] = ()
) -> Measured:
    """Return the traffic of a window per day.

    Args:
        window: What was seen.
        prices: What APIs ask for each model; of several, the one at which its tokens cost least.
        hosted: Backends that are APIs. How much an API would have cached is taken from them, as far as they
            told; else from all, which is too little where own servers told: they cache less.
    """
    days, parts, unpriced = window.days, [], {}
    for model in dict.fromkeys(one.model for one in window.seen):
        rows = [one for one in window.seen if one.model == model]
        tokens_in = Decimal(sum(one.tokens_in for one in rows)) / days
        tokens_out = Decimal(sum(one.tokens_out for one in rows)) / days
        if not tokens_in + tokens_out:
            continue
        share = _cached(rows, hosted)
        asked = prices.get(model, ())
        if not asked:
            unpriced[model] = tokens_in + tokens_out
            continue
        cached = tokens_in * share
        price = min(asked, key=lambda one: api_usd(tokens_in, tokens_out, cached, one))
        parts.append(MeasuredPart(model, price, tokens_in, tokens_out, share))
    left_out = sum(unpriced.values(), start=Decimal(0))
    total = left_out + sum((part.tokens for part in parts), start=Decimal(0))
    return Measured(
        tuple(parts),
        days,
        tuple(unpriced),
        left_out / total if left_out else Decimal(0),
        sum(one.uncounted for one in window.seen),
    )


def _cached(rows: list[Seen], hosted: Collection[str]) -> Decimal:
    told = [one for one in rows if one.told_in]
    told = [one for one in told if one.backend in hosted] or told
    whole = sum(one.told_in for one in told)
    return Decimal(sum(one.cached_in for one in told)) / whole if whole else Decimal(0)
