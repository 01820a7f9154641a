"""What a month of one volume costs at the API and on own machines; where they cross."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.economics.ranges import End, Range
from hybridllm._core.economics.scenario import (
    ENGINEER_SHARE,
    GPU_PRICE,
    SALARY,
    Ends,
    Machines,
    Per,
    Point,
    Scenario,
    for_own,
    inputs,
    point,
    usd_per_mtok,
)
from hybridllm._core.economics.sums import MTOK, level_tokens, settled_tokens, steps_for


@dataclass(frozen=True, slots=True)
class Term:
    """A line of a bill: `usd_per_unit` times `units`, in USD a month."""

    name: str
    units: int
    usd_per_unit: Range
    usd_per_month: Range


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where own machines begin to cost less, in tokens a day.

    Attributes:
        first: The least volume at which both cost the same; None: at no volume.
        for_good: From where they never cost more again, however many sets; None: there is no such volume.
    """

    first: Decimal | None
    for_good: Decimal | None


def own_usd(numbers: Point, tokens_per_day: Decimal) -> Decimal:
    """Return what a month on own machines costs."""
    tokens = tokens_per_day * numbers.days_per_month
    steps = steps_for(tokens, numbers.tokens_per_step)
    usd = numbers.usd_fixed + steps * numbers.usd_per_step
    return usd + tokens * numbers.own_usd_per_mtok / MTOK


def api_usd_at(scenario: Scenario, tokens_per_day: Decimal, ends: Ends | None = None) -> Decimal:
    """Return what a month of this mix costs at the API."""
    return tokens_per_day * scenario.days_per_month * usd_per_mtok(scenario, ends) / MTOK


def crossing(numbers: Point) -> Crossing:
    """Return where the two cross."""
    saved = (numbers.api_usd_per_mtok - numbers.own_usd_per_mtok) / MTOK

    def per_day(level: Callable[..., Decimal | None]) -> Decimal | None:
        tokens = level(
            usd_fixed=numbers.usd_fixed,
            usd_per_step=numbers.usd_per_step,
            tokens_per_step=numbers.tokens_per_step,
            usd_saved_per_token=saved,
        )
        return None if tokens is None else tokens / numbers.days_per_month

    return Crossing(per_day(level_tokens), per_day(settled_tokens))


def best_for_own(scenario: Scenario, *, swing: Decimal = Decimal(0)) -> dict[str, End]:
    """Return the end of every range at which own machines look best."""
    return {name: for_own(scenario, name, swing=swing) for name in inputs(scenario)}


def worst_for_own(scenario: Scenario, *, swing: Decimal = Decimal(0)) -> dict[str, End]:
    """Return the end of every range at which own machines look worst."""
    best = best_for_own(scenario, swing=swing)
    return {name: End.HIGH if end is End.LOW else End.LOW for name, end in best.items()}


def api_bill(scenario: Scenario) -> Range:
    """Return what a month at the API costs, at the low, likely and high end of mix and cache."""
    tokens = scenario.tokens_per_day
    return Range(
        api_usd_at(scenario, tokens.low, worst_for_own(scenario)),
        api_usd_at(scenario, tokens.likely),
        api_usd_at(scenario, tokens.high, best_for_own(scenario)),
    )


def own_bill(scenario: Scenario) -> Range | None:
    """Return what a month on own machines costs; None: there are none."""
    if scenario.machines is None:
        return None
    tokens = scenario.tokens_per_day
    return Range(
        own_usd(point(scenario, best_for_own(scenario)), tokens.low),
        own_usd(point(scenario), tokens.likely),
        own_usd(point(scenario, worst_for_own(scenario)), tokens.high),
    )


def sets_per_region(scenario: Scenario) -> int:
    """Return how many sets of machines each region needs for its share of the traffic, without spare ones.

    Raises:
        ValueError: If there are no machines.
    """
    tokens = scenario.tokens_per_day.likely * scenario.days_per_month
    return steps_for(tokens, point(scenario).tokens_per_step)


def own_terms(scenario: Scenario) -> tuple[Term, ...]:
    """Return the lines of the bill of own machines at the likely volume; they add up to it."""
    machines = scenario.machines
    if machines is None:
        return ()
    sets = sets_per_region(scenario)
    found = [
        _term(f"{GPU_PRICE}, {machines.gpus}", machines.regions * sets, machines.usd_per_month)
    ]
    if machines.spare_sets:
        spare = machines.regions * machines.spare_sets
        found.append(_term(f"{GPU_PRICE}, spare", spare, machines.usd_per_month))
    times = {
        Per.ONCE: 1,
        Per.REGION: machines.regions,
        Per.SET: machines.regions * (sets + machines.spare_sets),
    }
    found += [_term(one.name, times[one.per], one.usd_per_month) for one in machines.hidden]
    if machines.engineer_share.high:
        found.append(_term(f"{SALARY} x {ENGINEER_SHARE}", machines.engineers, _people(machines)))
    if machines.usd_per_mtok:
        tokens = scenario.tokens_per_day.times(scenario.days_per_month)
        found.append(_term("per token", 1, tokens.times(machines.usd_per_mtok / MTOK)))
    return tuple(found)


def _people(machines: Machines) -> Range:
    salary, share = machines.engineer_usd_per_year, machines.engineer_share
    low, likely, high = (salary.at(end) / 12 * share.at(end) for end in End)
    return Range(low, likely, high)


def _term(name: str, units: int, usd: Range) -> Term:
    return Term(name, units, usd, usd.times(units))
