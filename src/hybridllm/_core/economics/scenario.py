"""What is compared: traffic at an API, and own machines for it. Values only, every figure with its limits.

A `Scenario` is what a person says; a `Point` is one set of numbers out of its ranges, ready for the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from hybridllm._core.economics.ranges import NOTHING, End, Range, exactly
from hybridllm._core.economics.sums import MTOK, api_usd
from hybridllm._core.money.price import Price

API_PRICE, INPUT_SHARE, CACHED_SHARE = "API price", "input share", "cached share"
GPU_PRICE, CAPACITY, UTILISATION = "GPU price", "capacity", "utilisation"
SALARY, ENGINEER_SHARE = "engineer's salary", "engineer's share"
_API_INPUTS = frozenset({API_PRICE, INPUT_SHARE, CACHED_SHARE})
_SHARES = frozenset({INPUT_SHARE, CACHED_SHARE, UTILISATION, ENGINEER_SHARE})
_ONE = exactly(1)


class Purchase(StrEnum):
    """How machines are paid."""

    CLOUD = "cloud"
    RESERVED = "reserved"
    ON_PREM = "on-prem"


class Per(StrEnum):
    """How often a hidden cost is paid."""

    ONCE = "once"
    REGION = "region"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Hidden:
    """A cost that comes on top of the machines, in USD a month."""

    name: str
    usd_per_month: Range
    per: Per = Per.ONCE


@dataclass(frozen=True, slots=True)
class ModelShare:
    """A part of the traffic.

    Attributes:
        share: Of all tokens.
        input_share: Of its tokens, those of prompts.
        cached_share: Of its prompt tokens, those that the API bills as cached.
        price: At the API.
    """

    model: str
    price: Price
    share: Decimal = Decimal(1)
    input_share: Range = NOTHING
    cached_share: Range = NOTHING


@dataclass(frozen=True, slots=True)
class Machines:
    """Own machines, bought in sets; every region has as many sets as its traffic needs, and spare ones.

    Attributes:
        gpus: Of one set, as a person writes it.
        usd_per_month: Of one set.
        tokens_per_day: That one set can process, prompts and answers, if it is busy all day; None: not known.
        capacity_source: Where that figure is from, in words.
        utilisation: The share of that which traffic with its peaks leaves it to do.
        spare_sets: Per region, beyond what the traffic needs: 1 is n+1.
        regions: Each gets an equal share of the traffic.
        hidden: Costs on top.
        engineers: Who look after it.
        engineer_usd_per_year: Of one.
        engineer_share: Of the time of one.
        usd_per_mtok: What each token adds to one's own bill, on machines that are given back when idle.
    """

    gpus: str
    purchase: Purchase
    usd_per_month: Range
    tokens_per_day: Range | None = None
    capacity_source: str = ""
    utilisation: Range = _ONE
    spare_sets: int = 0
    regions: int = 1
    hidden: tuple[Hidden, ...] = ()
    engineers: int = 1
    engineer_usd_per_year: Range = NOTHING
    engineer_share: Range = NOTHING
    usd_per_mtok: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is compared.

    Attributes:
        name: As a person calls it.
        tokens_per_day: Prompts and answers, in the first month.
        traffic: Parts whose shares make one.
        machines: None: nothing is known of one's own.
        days_per_month: In which days and months are compared.
        growth_per_month: Of the volume, as a share: 0.05 is 5 % a month.
        price_decline_per_month: Of the API's price.
        gpu_price_decline_per_month: Of machines in the cloud; what is reserved or bought is paid as agreed.
        months: That the total cost of ownership looks ahead.
        strict_residency: Whether the data may not leave.
        idle_gpus: Whether the machines are there already and have nothing to do.
        production: False: development, staging, tests.
        stable_days: For how long the traffic has been as it is; None: not known.
        also: Other models whose bill is told beside it.
        unpriced_share: Of the tokens that were seen, those of models without a price; they are left out.
        notes: What whoever reads the sums should know.
    """

    name: str
    tokens_per_day: Range
    traffic: tuple[ModelShare, ...]
    machines: Machines | None
    days_per_month: Decimal
    growth_per_month: Range = NOTHING
    price_decline_per_month: Range = NOTHING
    gpu_price_decline_per_month: Range = NOTHING
    months: int = 24
    strict_residency: bool = False
    idle_gpus: bool = False
    production: bool = True
    stable_days: int | None = None
    also: tuple[ModelShare, ...] = ()
    unpriced_share: Decimal = Decimal(0)
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Point:
    """One number for each figure of a scenario; money is USD a month, `tokens_per_step` tokens a month.

    Attributes:
        api_usd_per_mtok: Of this mix.
        usd_fixed: Paid however many sets the traffic needs: spare sets, regions, people.
        usd_per_step: Of one set more in every region.
        tokens_per_step: That these can process; None: not known.
        own_usd_per_mtok: What a token adds to one's own bill.
    """

    days_per_month: Decimal
    api_usd_per_mtok: Decimal
    usd_fixed: Decimal
    usd_per_step: Decimal
    tokens_per_step: Decimal | None
    own_usd_per_mtok: Decimal


Ends = Mapping[str, End]
"""Which end of its range each input is at, by its name; what is not named is at its likely value."""


def inputs(scenario: Scenario) -> dict[str, Range]:
    """Return what a crossing depends on, by name; of several models, the shares are those of all tokens."""
    found = {
        API_PRICE: exactly(usd_per_mtok(scenario)),
        INPUT_SHARE: _mean(scenario, lambda part: part.input_share),
        CACHED_SHARE: _mean(scenario, lambda part: part.cached_share),
    }
    if all(part.price.usd_per_mtok_cached_in is None for part in scenario.traffic):
        del found[CACHED_SHARE]  # cached or not, it is billed alike
    if all(part.price.usd_per_mtok_in == part.price.usd_per_mtok_out for part in scenario.traffic):
        del found[INPUT_SHARE]
    machines = scenario.machines
    if machines is None:
        return found
    found[GPU_PRICE] = machines.usd_per_month
    if machines.tokens_per_day is not None:
        found |= {CAPACITY: machines.tokens_per_day, UTILISATION: machines.utilisation}
    if machines.engineer_share.high:
        found |= {SALARY: machines.engineer_usd_per_year, ENGINEER_SHARE: machines.engineer_share}
    return found | {hidden.name: hidden.usd_per_month for hidden in machines.hidden}


def for_own(scenario: Scenario, name: str, *, swing: Decimal = Decimal(0)) -> End:
    """Return the end of an input at which own machines look best."""
    if name in (CAPACITY, UTILISATION):
        return End.HIGH
    if name not in _API_INPUTS:
        return End.LOW
    dear = usd_per_mtok(scenario, {name: End.HIGH}, swing=swing)
    return End.HIGH if dear >= usd_per_mtok(scenario, {name: End.LOW}, swing=swing) else End.LOW


def usd_per_mtok(
    scenario: Scenario, ends: Ends | None = None, *, swing: Decimal = Decimal(0)
) -> Decimal:
    """Return what 1,000,000 tokens of this mix cost at the API."""
    pick = _picker(ends or {}, swing)
    total = sum((part.share * share_usd(part, pick) for part in scenario.traffic), start=Decimal(0))
    return total * pick(API_PRICE, _ONE)


def share_usd(part: ModelShare, pick: Callable[[str, Range], Decimal] | None = None) -> Decimal:
    """Return what 1,000,000 tokens of one model cost."""
    pick = pick or _picker({}, Decimal(0))
    tokens_in = MTOK * pick(INPUT_SHARE, part.input_share)
    cached = tokens_in * pick(CACHED_SHARE, part.cached_share)
    return api_usd(tokens_in, MTOK - tokens_in, cached, part.price)


def point(
    scenario: Scenario,
    ends: Ends | None = None,
    *,
    swing: Decimal = Decimal(0),
    gpu_factor: Decimal = Decimal(1),
) -> Point:
    """Return the numbers of a scenario.

    Args:
        scenario: That they are of.
        ends: Which inputs are at which end of their range.
        swing: How far an input without a range is moved that `ends` names.
        gpu_factor: What is left of the GPU's price.

    Raises:
        ValueError: If it has no machines.
    """
    machines = scenario.machines
    if machines is None:
        raise ValueError("the scenario has no machines")
    pick = _picker(ends or {}, swing)
    hidden = dict.fromkeys(Per, Decimal(0))
    for one in machines.hidden:
        hidden[one.per] += pick(one.name, one.usd_per_month)
    a_set = pick(GPU_PRICE, machines.usd_per_month) * gpu_factor + hidden[Per.SET]
    people = pick(SALARY, machines.engineer_usd_per_year) / 12
    people *= machines.engineers * pick(ENGINEER_SHARE, machines.engineer_share)
    a_region = machines.spare_sets * a_set + hidden[Per.REGION]
    can = None
    if machines.tokens_per_day is not None:
        use = pick(UTILISATION, machines.utilisation)
        can = machines.regions * use * pick(CAPACITY, machines.tokens_per_day)
    return Point(
        days_per_month=scenario.days_per_month,
        api_usd_per_mtok=usd_per_mtok(scenario, ends, swing=swing),
        usd_fixed=machines.regions * a_region + hidden[Per.ONCE] + people,
        usd_per_step=machines.regions * a_set,
        tokens_per_step=None if can is None else can * scenario.days_per_month,
        own_usd_per_mtok=machines.usd_per_mtok,
    )


def _picker(ends: Ends, swing: Decimal) -> Callable[[str, Range], Decimal]:
    def pick(name: str, given: Range) -> Decimal:
        end = ends.get(name, End.LIKELY)
        if end is End.LIKELY:
            return given.likely
        return swung(name, given, swing).at(end)

    return pick


def swung(name: str, given: Range, swing: Decimal) -> Range:
    """Return the range of an input; one that is known exactly is moved by `swing`, a share to 1 at most."""
    return given.swung(swing, most=Decimal(1) if name in _SHARES else None)


def _mean(scenario: Scenario, of: Callable[[ModelShare], Range]) -> Range:
    parts = [(part.share, of(part)) for part in scenario.traffic]
    low, likely, high = (
        sum((share * given.at(end) for share, given in parts), start=Decimal(0)) for end in End
    )
    return Range(low, likely, high)
