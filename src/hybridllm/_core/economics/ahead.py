"""What changes: each input from its low to its high, and the months that come."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.economics.bills import (
    api_usd_at,
    best_for_own,
    crossing,
    own_usd,
    worst_for_own,
)
from hybridllm._core.economics.ranges import End, Range
from hybridllm._core.economics.scenario import (
    Purchase,
    Scenario,
    inputs,
    point,
    swung,
)

SWING = Decimal("0.2")
"""By which an input is moved that nobody gave a range for, to see what it would do."""


@dataclass(frozen=True, slots=True)
class Bar:
    """How far the crossing moves with one input, all others at their likely value. Tokens a day.

    Attributes:
        given: The input's range; without one it is swung by a fifth, and `assumed` is True.
        at_low: The crossing with the input at its low end; None: there is none.
    """

    name: str
    given: Range
    assumed: bool
    at_low: Decimal | None
    at_high: Decimal | None

    @property
    def span(self) -> Decimal | None:
        """How far it moves; None: it comes or goes altogether."""
        if self.at_low is None or self.at_high is None:
            return None
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the total cost, in USD; `number` from 1."""

    number: int
    tokens_per_day: Decimal
    api_usd: Range
    own_usd: Range | None


@dataclass(frozen=True, slots=True)
class Ahead:
    """The total cost of the months that come.

    Attributes:
        api_usd: Of all months; `own_usd`: the same, None: there are no machines.
        own_cheaper_from: The first month from which on own machines cost less in every month; None: in none.
    """

    months: tuple[Month, ...]
    api_usd: Range
    own_usd: Range | None
    own_cheaper_from: int | None


def tornado(scenario: Scenario, *, swing: Decimal = SWING) -> tuple[Bar, ...]:
    """Return how far each input moves the crossing, the one that moves it most first."""
    if scenario.machines is None:
        return ()
    bars = [
        _bar(scenario, name, given, swing)
        for name, given in inputs(scenario).items()
        if given.high or not given.exact  # a fifth of nothing is nothing
    ]
    # What makes it come or go moves it further than any distance; what leaves it away moves nothing.
    endless = Decimal("Infinity")

    def reach(bar: Bar) -> Decimal:
        if bar.at_low is None and bar.at_high is None:
            return Decimal(-1)
        return endless if bar.span is None else bar.span

    return tuple(sorted(bars, key=lambda bar: (-reach(bar), bar.name)))


def _bar(scenario: Scenario, name: str, given: Range, swing: Decimal) -> Bar:
    low, high = (
        crossing(point(scenario, {name: end}, swing=swing)).first for end in (End.LOW, End.HIGH)
    )
    return Bar(name, swung(name, given, swing), given.exact, low, high)


def months_ahead(scenario: Scenario) -> Ahead:
    """Return each of the months that come: volume that grows, API prices that fall."""
    months = tuple(_month(scenario, number) for number in range(scenario.months))
    owns = [month.own_usd for month in months]
    cheaper = None
    for month in reversed(months):
        if month.own_usd is None or month.own_usd.likely > month.api_usd.likely:
            break
        cheaper = month.number
    return Ahead(
        months,
        _total([month.api_usd for month in months]),
        None if None in owns else _total([own for own in owns if own is not None]),
        cheaper,
    )


def _month(scenario: Scenario, number: int) -> Month:
    growth, decline = scenario.growth_per_month, scenario.price_decline_per_month
    tokens = {end: scenario.tokens_per_day.at(end) * (1 + growth.at(end)) ** number for end in End}
    best, worst = best_for_own(scenario), worst_for_own(scenario)
    # An API is cheapest when its prices fall most.
    fallen = {
        End.LOW: (1 - decline.high) ** number,
        End.LIKELY: (1 - decline.likely) ** number,
        End.HIGH: (1 - decline.low) ** number,
    }
    api = Range(
        *(
            api_usd_at(scenario, tokens[end], ends) * fallen[end]
            for end, ends in ((End.LOW, worst), (End.LIKELY, {}), (End.HIGH, best))
        )
    )
    if scenario.machines is None:
        return Month(number + 1, tokens[End.LIKELY], api, None)
    own = Range(
        *(
            own_usd(point(scenario, ends, gpu_factor=_gpu_left(scenario, end, number)), tokens[end])
            for end, ends in ((End.LOW, best), (End.LIKELY, {}), (End.HIGH, worst))
        )
    )
    return Month(number + 1, tokens[End.LIKELY], api, own)


def _gpu_left(scenario: Scenario, end: End, number: int) -> Decimal:
    if scenario.machines is None or scenario.machines.purchase is not Purchase.CLOUD:
        return Decimal(1)
    decline = scenario.gpu_price_decline_per_month
    share = {End.LOW: decline.high, End.LIKELY: decline.likely, End.HIGH: decline.low}[end]
    return (1 - share) ** number


def _total(parts: list[Range]) -> Range:
    low, likely, high = (sum((part.at(end) for part in parts), start=Decimal(0)) for end in End)
    return Range(low, likely, high)
