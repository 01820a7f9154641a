"""What the same traffic would have cost elsewhere: at hosted APIs, on own machines, on one model.

None is not known. Where something can only be bounded there are two figures, and words that say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any, NamedTuple

from hybridllm._core.ledger.apportion import time_pico
from hybridllm._core.ledger.periods import SECOND_US, Period
from hybridllm._core.money.pico import usd_of
from hybridllm._core.money.price import Price, cost_usd
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.hybrid import Capacity


class Traffic(NamedTuple):
    """What was sent in an hour; of everything, the attempts whose tokens are known.

    Attributes:
        served_input: Of attempts that bought an answer; the others are of all attempts.
        attempts: Whose tokens are known; `served`: of them those that bought an answer.
        uncounted: Attempts that may have been billed and whose tokens nobody knows.
        api_pico: What hosted APIs cost, and would have cost in place of own machines, as far as known.
        api_unknown: Attempts of which that is not known.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    served_input: int = 0
    served_output: int = 0
    served_cached: int = 0
    attempts: int = 0
    served: int = 0
    uncounted: int = 0
    api_pico: int = 0
    api_unknown: int = 0

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Supposed:
    """A sum that was not paid.

    Attributes:
        low_usd: It would have cost at least that; None: not known.
        high_usd: At most that; None: not known.
        words: What stands behind it, and what is missing.
    """

    low_usd: Decimal | None
    high_usd: Decimal | None
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        low, high = (None if usd is None else f"{usd:f}" for usd in (self.low_usd, self.high_usd))
        return {"low_usd": low, "high_usd": high, "words": self.words}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The same traffic, all of it at hosted APIs, on own machines, or on one model; None: was not asked."""

    all_api: Supposed
    all_own: Supposed
    all_on_model: Supposed | None = None
    model: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        one = self.all_on_model
        return {
            "all_api": self.all_api.to_dict(),
            "all_own": self.all_own.to_dict(),
            "model": self.model,
            "all_on_model": None if one is None else one.to_dict(),
        }


def summed(hours: Iterable[Traffic]) -> Traffic:
    """Return the traffic of all hours."""
    columns = list(zip(*hours, strict=True))
    return Traffic(*map(sum, columns)) if columns else Traffic()


def all_api(traffic: Traffic) -> Supposed:
    """Return what hosted APIs would have asked: list prices in place of own machines, else what was paid."""
    usd = usd_of(traffic.api_pico)
    if not traffic.api_unknown:
        return Supposed(usd, usd, "list prices in place of own machines, else what was paid")
    words = f"without {traffic.api_unknown:,} attempts of which no price or no tokens are known"
    return Supposed(usd, None, words)


def all_own(
    hours: Mapping[int, Traffic], capacities: Mapping[str, Capacity], time: Period
) -> Supposed:
    """Return what own machines would have cost: whole sets of them, as many as the traffic needs.

    Low: enough for the average of the time; high: enough for its busiest hour.
    """
    if not capacities:
        words = "no own machine is known; --policy names a policy that says what they cost"
        return Supposed(None, None, words)
    names = " and ".join(sorted(capacities))
    usd = usd_of(sum(time_pico(one, *time) for one in capacities.values()))
    rates = [one.tokens_per_s for one in capacities.values()]
    can = sum((Decimal(str(rate)) for rate in rates if rate), Decimal(0))
    if not can or not all(rates):
        return Supposed(usd, None, f"{names}, if they are enough: nobody declared what they can do")
    seconds = Decimal(time.until_us - time.since_us) / SECOND_US
    tokens = sum(one.tokens for one in hours.values())
    busiest = max((one.tokens for one in hours.values()), default=0)
    average_sets = max(1, ceil(tokens / (can * seconds)))
    peak_sets = max(average_sets, ceil(busiest / (can * 3_600)))
    words = f"{average_sets} x {names} for the average"
    if peak_sets > average_sets:
        words += f", {peak_sets} x for the busiest hour"
    return Supposed(usd * average_sets, usd * peak_sets, words)


def all_on(model: str, price: Price | None, traffic: Traffic) -> Supposed:
    """Return what the same tokens would have cost on one model.

    Low: of the attempts that bought an answer, as much cached as was; high: of all attempts, nothing cached.
    Another model has another tokenizer and answers at another length: that is not known.
    """
    if price is None:
        return Supposed(None, None, f"neither the policy nor the model book has a price of {model}")
    served = Usage(traffic.served_input, traffic.served_output, traffic.served_cached)
    each = price.usd_per_request or Decimal(0)
    low = cost_usd(served, price) + each * (traffic.served - 1)
    high = cost_usd(Usage(traffic.input, traffic.output), price) + each * (traffic.attempts - 1)
    words = f"the same tokens at {price.price_id}; answers as long as they were"
    if traffic.uncounted:
        words += f"; without {traffic.uncounted:,} attempts whose tokens nobody knows"
        return Supposed(low, None, words)
    return Supposed(low, high, words)
