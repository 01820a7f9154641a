"""The answer to a scenario: bills, crossing, what it is sensitive to, how sure it is, what to do."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Any

from hybridllm._core.economics.ahead import SWING, Ahead, Bar, months_ahead, tornado
from hybridllm._core.economics.bills import (
    Crossing,
    Term,
    api_bill,
    best_for_own,
    crossing,
    own_bill,
    own_terms,
    sets_per_region,
    worst_for_own,
)
from hybridllm._core.economics.branch import Decision, decide
from hybridllm._core.economics.ranges import Range
from hybridllm._core.economics.scenario import (
    Ends,
    ModelShare,
    Scenario,
    point,
    share_usd,
    usd_per_mtok,
)
from hybridllm._core.economics.sums import MTOK


@dataclass(frozen=True, slots=True)
class ApiPart:
    """What one model's part of the traffic costs at the API, at its likely figures."""

    model: str
    tokens_per_month: Decimal
    usd_per_mtok: Decimal
    usd_per_month: Decimal
    price_id: str


@dataclass(frozen=True, slots=True)
class Crossings:
    """Where the two cross, in tokens a day.

    Attributes:
        likely: With every figure at its likely value.
        low: With every range at the end that is best for own machines; `high`: at the worst.
    """

    low: Crossing
    likely: Crossing
    high: Crossing


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scenario comes to. Money is USD a month, unless its name says otherwise.

    Attributes:
        parts: The API's bill by model; they add up to `api_usd.likely`.
        also: Bills of other models for the same traffic.
        own_usd: None: no machines are named.
        own_terms: Lines that add up to `own_usd.likely`.
        sets_per_region: Sets of machines that each region needs for the traffic.
        crossings: None: no machines are named.
        tornado: What moves the crossing most comes first.
    """

    scenario: Scenario
    api_usd: Range
    api_usd_per_mtok: Decimal
    parts: tuple[ApiPart, ...]
    also: tuple[ApiPart, ...]
    own_usd: Range | None
    own_terms: tuple[Term, ...]
    sets_per_region: int | None
    crossings: Crossings | None
    tornado: tuple[Bar, ...]
    ahead: Ahead
    decision: Decision

    @property
    def api_usd_per_day(self) -> Decimal:
        """The API's likely bill of one day."""
        return self.api_usd.likely / self.scenario.days_per_month

    @property
    def sure(self) -> bool | None:
        """Whether the same side costs less at every end of the ranges; None: no machines are named."""
        own = self.own_usd
        if own is None:
            return None
        return own.high < self.api_usd.low or own.low > self.api_usd.high

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts are texts."""
        told = _plain(self)
        told["api_usd_per_day"], told["sure"] = str(self.api_usd_per_day), self.sure
        return dict(told)


def break_even(scenario: Scenario, *, swing: Decimal = SWING) -> Answer:
    """Return what a scenario comes to.

    Args:
        scenario: What is compared.
        swing: By which the tornado moves inputs that have no range.
    """
    crossings = None
    if scenario.machines is not None:
        ends: tuple[Ends, ...] = (best_for_own(scenario), {}, worst_for_own(scenario))
        crossings = Crossings(*(crossing(point(scenario, each)) for each in ends))
    api, own, ahead = api_bill(scenario), own_bill(scenario), months_ahead(scenario)
    likely = crossings.likely if crossings is not None else None
    tokens = scenario.tokens_per_day.likely * scenario.days_per_month
    return Answer(
        scenario=scenario,
        api_usd=api,
        api_usd_per_mtok=usd_per_mtok(scenario),
        parts=tuple(_part(part, tokens) for part in scenario.traffic),
        also=tuple(_part(part, tokens) for part in scenario.also),
        own_usd=own,
        own_terms=own_terms(scenario),
        sets_per_region=None if own is None else sets_per_region(scenario),
        crossings=crossings,
        tornado=tornado(scenario, swing=swing),
        ahead=ahead,
        decision=decide(scenario, api=api, own=own, crossed=likely, ahead=ahead),
    )


def _part(part: ModelShare, tokens: Decimal) -> ApiPart:
    usd, some = share_usd(part), tokens * part.share
    return ApiPart(part.model, some, usd, some * usd / MTOK, part.price.price_id)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value
