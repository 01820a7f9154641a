"""The decision tree: what follows from volume, residency and sums, and why, in words.

Strict residency goes before everything; then what is no production, little volume, machines that are there
already; and for all else the total cost of the months that come decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from hybridllm._core.economics.ahead import Ahead
from hybridllm._core.economics.bills import Crossing
from hybridllm._core.economics.ranges import Range
from hybridllm._core.economics.scenario import Scenario
from hybridllm._core.economics.sums import MTOK

API_BELOW_TOKENS_PER_DAY = Decimal(50_000_000)
OWN_ABOVE_TOKENS_PER_DAY = Decimal(500_000_000)
STABLE_DAYS = 90


class Branch(StrEnum):
    """Where the tree ends."""

    RESIDENCY = "residency"
    NOT_PRODUCTION = "not_production"
    LITTLE_VOLUME = "little_volume"
    IDLE_GPUS = "idle_gpus"
    TOTAL_COST = "total_cost"


class Choice(StrEnum):
    """What it says to do."""

    API = "api"
    OWN = "own"
    OWN_WITH_OVERFLOW = "own_with_overflow"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, by which branch, and why."""

    branch: Branch
    choice: Choice
    reason: str
    caveats: tuple[str, ...] = ()


def decide(
    scenario: Scenario, *, api: Range, own: Range | None, crossed: Crossing | None, ahead: Ahead
) -> Decision:
    """Return what the tree says of a scenario and its sums."""
    volume = scenario.tokens_per_day.likely
    if scenario.strict_residency:
        reason = (
            "strict residency: the data may not leave, so it is served on own machines, isolated, "
            "whatever they cost; work that is not bound so is not to follow it there"
        )
        return Decision(Branch.RESIDENCY, Choice.OWN, reason)
    if not scenario.production:
        reason = "no production: any hosted model will do, and machines of one's own would be idle"
        return Decision(Branch.NOT_PRODUCTION, Choice.API, reason)
    if volume < API_BELOW_TOKENS_PER_DAY:
        reason = f"{_millions(volume)} tokens a day are below 50M: the API"
        return Decision(Branch.LITTLE_VOLUME, Choice.API, reason, _against(api, own))
    if scenario.idle_gpus:
        reason = "GPUs that are there and idle: they serve, and the API takes what they cannot"
        return Decision(Branch.IDLE_GPUS, Choice.OWN_WITH_OVERFLOW, reason)
    return _by_total_cost(scenario, crossed, ahead)


def _by_total_cost(scenario: Scenario, crossed: Crossing | None, ahead: Ahead) -> Decision:
    if ahead.own_usd is None:
        reason = "at 50M tokens a day and more the total cost decides, and no machines are named"
        return Decision(Branch.TOTAL_COST, Choice.NOT_KNOWN, reason)
    api, own = ahead.api_usd.likely, ahead.own_usd.likely
    cheaper, dearer = ("own machines", "the API") if own < api else ("the API", "own machines")
    reason = (
        f"at 50M tokens a day and more the total cost of {scenario.months} months decides: {cheaper} "
        f"{min(api, own):,.2f} USD, {dearer} {max(api, own):,.2f}"
    )
    if own < api:
        return Decision(Branch.TOTAL_COST, Choice.OWN, reason, _waits(scenario))
    caveats = []
    if ahead.own_cheaper_from is not None:
        caveats.append(
            f"own machines cost less from month {ahead.own_cheaper_from} on: look again then"
        )
    if crossed is not None and crossed.first is None:
        caveats.append("own machines never cost less at this price, not even full")
    return Decision(Branch.TOTAL_COST, Choice.API, reason, tuple(caveats))


def _waits(scenario: Scenario) -> tuple[str, ...]:
    """What the sources ask for beside the sums, before anybody buys."""
    caveats = []
    volume = scenario.tokens_per_day.likely
    if volume < OWN_ABOVE_TOKENS_PER_DAY:
        caveats.append(
            f"the sources start at 500M tokens a day, and this is {_millions(volume)}: the sums are "
            "yours, so are their risks"
        )
    days = scenario.stable_days
    if days is None:
        caveats.append(
            "buy after three months of stable traffic; for how long it has been is not known"
        )
    elif days < STABLE_DAYS:
        caveats.append(f"the traffic is known for {days} days; buy after {STABLE_DAYS} stable ones")
    return tuple(caveats)


def _against(api: Range, own: Range | None) -> tuple[str, ...]:
    if own is None or own.likely >= api.likely:
        return ()
    return (
        f"the sums say otherwise: own machines {own.likely:,.2f} USD a month, the API {api.likely:,.2f}",
    )


def _millions(tokens: Decimal) -> str:
    return f"{(tokens / MTOK).normalize():f}M" if tokens >= MTOK else f"{tokens:,.0f}"
