"""Traffic of any size under a policy: sampled decisions, each standing for many, and fluid loads.

The decision is `decide/decide.py`'s. A backend that declares what it can process is full in an hour that asks
it for more; what is too much then goes to whoever its overflow says. Queues, failures and their like are not
here: `hybridllm chaos` has them, in virtual time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil, sqrt
from typing import NamedTuple

from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.given import GivenVolume, held_in
from hybridllm._core.decide.match import Held
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.money.price import cheapest, cost_usd
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import Backend, Candidate, Policy
from hybridllm._core.policy.conditions import When, when_text
from hybridllm._core.policy.hybrid import DAYS_A_MONTH, Measure, Volume, Window
from hybridllm._core.policy.listed_prices import list_prices_at
from hybridllm._core.simulate.report import BackendLoad, Month, SimulationReport, Usd
from hybridllm._core.simulate.samples import Sample, Stratum
from hybridllm._core.simulate.schema import HOURS

SIGMAS = 3.0
_FOR_EVER = 1_000_000
_DAYS = float(DAYS_A_MONTH)
_HOUR_OF_MONTH_S = _DAYS * 3_600
_FULL = Load(saturated="it processes all that it can", full=True, cold=0.0)
_PER_DAY = {Window.MINUTE: 1 / 1_440, Window.HOUR: 1 / 24, Window.DAY: 1.0, Window.MONTH: 30.0}


class Leg(NamedTuple):
    """A sample with one candidate.

    Attributes:
        usd: What one such request costs; 0: its backend is paid by the month. None: no price is known.
        list_usd: What it would cost at hosted APIs, if its backend is paid by the month; None: not known.
    """

    candidate: Candidate
    usd: float | None
    list_usd: float | None


class Way(NamedTuple):
    """Where a sample goes: to `first`, and if that is full to `spill`; None: `rule` denies it."""

    sample: Sample
    weight: float
    first: Leg | None
    spill: Leg | None = None
    rule: str = ""


@dataclass(slots=True)
class _Backend:
    offered: list[float] = field(default_factory=lambda: [0.0] * HOURS)  # tokens a month, by hour
    taken: list[float] = field(default_factory=lambda: [0.0] * HOURS)
    requests: float = 0.0
    spilled: float = 0.0
    beyond: float = 0.0
    meant: float = 0.0
    usd: float = 0.0
    list_usd: float = 0.0
    listed: bool = True
    unpriced: float = 0.0
    too_much: list[float] = field(default_factory=list)  # share of each hour's


def simulated(
    policy: Policy,
    strata: tuple[Stratum, ...],
    *,
    requests_per_day: float,
    growth_per_month: float,
    months: int,
    begins: datetime,
) -> SimulationReport:
    """Return what the traffic comes to, month by month.

    Args:
        policy: That decides.
        strata: The samples.
        requests_per_day: In the first month.
        growth_per_month: 0.1 is a tenth more each month.
        months: How many.
        begins: The first day; prices and hours are those of then.
    """
    found: list[Month] = []
    reached: list[frozenset[Held]] = []
    known: dict[object, list[Way]] = {}
    for number in range(1, months + 1):
        a_day = requests_per_day * (1 + growth_per_month) ** (number - 1)
        above = _above(found[-1]) if found else None
        reached.append(_reached(policy, strata, a_day, above))
        held = frozenset(one for one in reached[-1] if _long_enough(one, reached))
        if held not in known:
            known[held] = list(_ways(policy, strata, held, begins))
        ways = known[held]
        found.append(_month(policy, ways, strata, number, a_day * _DAYS, held))
    sampled = sum(len(stratum.samples) for stratum in strata)
    notes = tuple(_notes(policy))
    return SimulationReport(policy.name, policy.version, sampled, tuple(found), notes)


def _ways(
    policy: Policy, strata: Iterable[Stratum], held: frozenset[Held], begins: datetime
) -> Iterator[Way]:
    for share, samples in strata:
        for sample in samples:
            at = begins + timedelta(days=sample.day, hours=sample.hour, minutes=30)
            world = Snapshot(now_utc=at, chance=sample.chance, held=held)
            yield _way(policy, sample, share / len(samples), world)


def _way(policy: Policy, sample: Sample, weight: float, world: Snapshot) -> Way:
    plan = decide(policy, sample.facts, world)
    if isinstance(plan, Denied):
        return Way(sample, weight, None, rule=plan.rule)
    first = plan.kept[0].candidate
    spill = None
    if _can_s(first.backend) is not None and first.backend.name in policy.loaded:
        full = replace(world, loads={first.backend.name: _FULL})
        other = decide(policy, sample.facts, full)
        if isinstance(other, Plan) and other.kept[0].candidate is not first:
            spill = _leg(policy, sample, other.kept[0].candidate, world.now_utc)
    return Way(sample, weight, _leg(policy, sample, first, world.now_utc), spill)


def _leg(policy: Policy, sample: Sample, candidate: Candidate, at: datetime) -> Leg:
    usage = Usage(sample.tokens_in, sample.tokens_out)
    price = candidate.price_at(at, sample.tokens_in)
    usd = None if price is None else float(cost_usd(usage, price))
    if candidate.backend.capacity is None:
        return Leg(candidate, usd, 0.0)
    asked = list_prices_at(policy, candidate.model.name, at, input_tokens=sample.tokens_in)
    hosted = cheapest(asked, usage)
    return Leg(candidate, usd or 0.0, None if hosted is None else float(cost_usd(usage, hosted)))


def _can_s(backend: Backend) -> float | None:
    """Return how many tokens a second a backend can process; None: not declared, or it grows."""
    capacity = backend.capacity
    return None if capacity is None or capacity.elastic else capacity.tokens_per_s


def _month(
    policy: Policy,
    ways: list[Way],
    strata: tuple[Stratum, ...],
    number: int,
    requests: float,
    held: frozenset[Held],
) -> Month:
    loads = {name: _Backend() for name in policy.backends}
    denied: dict[str, float] = defaultdict(float)
    for sample, weight, first, _, rule in ways:
        if first is None:
            denied[rule] += weight
        else:
            offered = loads[first.candidate.backend.name].offered
            offered[sample.hour] += weight * requests * sample.tokens
    for name, load in loads.items():
        can_s = _can_s(policy.backends[name])
        load.too_much = [_too_much(can_s, tokens) for tokens in load.offered]
    costs = [_placed(way, loads, requests) for way in ways]
    machines = [one.capacity for one in policy.backends.values() if one.capacity is not None]
    listed = sum(load.list_usd for load in loads.values())
    known = machines and all(load.listed for load in loads.values())
    return Month(
        number,
        requests,
        _bounds(costs, strata, requests),
        sum((one.usd_per_month + one.hidden_usd_per_month for one in machines), Decimal(0)),
        _usd(listed) if known else None,
        tuple(sorted(denied.items())),
        sum(load.unpriced for load in loads.values()) / requests,
        tuple(sorted({when_text(When((condition,))) for condition, _ in held})),
        tuple(_told(policy, name, load) for name, load in loads.items()),
    )


def _too_much(can_s: float | None, tokens: float) -> float:
    """Return the share of what an hour asks of a backend that is too much for it."""
    if can_s is None or tokens <= can_s * _HOUR_OF_MONTH_S:
        return 0.0
    return 1 - can_s * _HOUR_OF_MONTH_S / tokens


def _placed(way: Way, loads: Mapping[str, _Backend], requests: float) -> float:
    """Put a sample where it goes, and return what one such request costs."""
    sample, first, spill = way.sample, way.first, way.spill
    if first is None:
        return 0.0
    many, meant = way.weight * requests, loads[first.candidate.backend.name]
    away = meant.too_much[sample.hour]
    meant.meant += many
    if spill is None:
        meant.beyond += many * away
        return _paid(first, loads, sample, many)
    meant.spilled += many * away
    stays = _paid(first, loads, sample, many * (1 - away)) * (1 - away)
    return stays + (_paid(spill, loads, sample, many * away) * away if away else 0.0)


def _paid(leg: Leg, loads: Mapping[str, _Backend], sample: Sample, many: float) -> float:
    load = loads[leg.candidate.backend.name]
    load.taken[sample.hour] += many * sample.tokens
    load.requests += many
    if leg.list_usd is None:
        load.listed = False
    else:
        load.list_usd += leg.list_usd * many
    if leg.usd is None:
        load.unpriced += many
        return 0.0
    load.usd += leg.usd * many
    return leg.usd


def _bounds(costs: list[float], strata: tuple[Stratum, ...], requests: float) -> Usd:
    """Return what all requests cost, with the error that sampling leaves: of each kind by itself."""
    value = variance = 0.0
    place = 0
    for share, samples in strata:
        part = costs[place : place + len(samples)]
        place += len(samples)
        mean = sum(part) / len(part)
        value += share * mean
        spread = sum((cost - mean) ** 2 for cost in part) / max(1, len(part) - 1)
        variance += share * share * spread / len(part)
    error = SIGMAS * sqrt(variance) * requests
    whole = value * requests
    return Usd(*(_usd(one) for one in (whole, max(0.0, whole - error), whole + error)))


def _usd(amount: float) -> Decimal:
    return Decimal(f"{amount:.6f}")


def _told(policy: Policy, name: str, load: _Backend) -> BackendLoad:
    tokens = [max(taken, offered) for taken, offered in zip(load.taken, load.offered, strict=True)]
    return BackendLoad(
        name,
        load.requests,
        sum(tokens) / HOURS / _HOUR_OF_MONTH_S,
        max(tokens) / _HOUR_OF_MONTH_S,
        _can_s(policy.backends[name]),
        load.spilled / load.meant if load.meant else 0.0,
        load.beyond / load.meant if load.meant else 0.0,
        None if load.unpriced else _usd(load.usd),
    )


def _above(month: Month) -> bool | None:
    """Return whether APIs would have cost more than machines did; None: not known."""
    return None if month.list_usd is None else month.list_usd > month.machines_usd


def _long_enough(held: Held, reached: list[frozenset[Held]]) -> bool:
    """Whether a condition on days in a row was met in so many whole months before this one."""
    days = held[0].sustained_days if isinstance(held[0], Volume) else 0
    months = ceil(days / _DAYS)
    before = reached[:-1][-months:] if months else []
    return len(before) == months and all(held in month for month in before)


def _volumes(strata: Iterable[Stratum], a_day: float) -> Iterator[GivenVolume]:
    """Yield what comes in, of all and of each task and tenant; for how long is not looked at."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for share, samples in strata:
        facts = samples[0].facts
        mean = sum(sample.tokens for sample in samples) / len(samples)
        for scope in ("all", f"task:{facts.task}", f"tenant:{facts.tenant}"):
            sums[scope][0] += a_day * share
            sums[scope][1] += a_day * share * mean
    for scope, (requests, tokens) in sums.items():
        amounts = {
            (measure, window): Decimal(round(amount * per))
            for measure, amount in ((Measure.REQUESTS, requests), (Measure.TOKENS, tokens))
            for window, per in _PER_DAY.items()
        }
        yield GivenVolume(amounts, sustained_days=_FOR_EVER, scope=scope)


def _reached(
    policy: Policy, strata: Iterable[Stratum], a_day: float, above: bool | None
) -> frozenset[Held]:
    """Return the live conditions that are met, each for whom it is about; days in a row apart."""
    held: set[Held] = set()
    if not policy.live:
        return frozenset()
    strata = tuple(strata)
    volumes = tuple(_volumes(strata, a_day))
    for stratum in strata:
        facts = stratum.samples[0].facts
        own = {"task": f"task:{facts.task}", "tenant": f"tenant:{facts.tenant}"}
        mine = [
            replace(one, scope=kind)
            for kind, scope in own.items()
            for one in volumes
            if one.scope == scope
        ]
        held |= held_in(policy, facts, (*volumes, *mine), break_even=above)
    return frozenset(held)


def _notes(policy: Policy) -> Iterator[str]:
    yield "everybody is well; a backend is full in an hour that asks it for more than it can process"
    counted = {"all", "task", "tenant"}
    left = [
        one
        for one in policy.live
        if isinstance(one, Volume)
        and (one.measure is Measure.USD or one.scope.partition(":")[0] not in counted)
    ]
    if left:
        yield (
            f"{len(left)} conditions on volume count money, or a model, a route or a backend: they never "
            "hold here"
        )
    if len(policy.live) > len(left):
        yield (
            "a volume is the month's average; days in a row are whole months before; break-even is that of "
            "the month before"
        )
    if any(
        one.capacity is not None and one.capacity.tokens_per_s is None
        for one in policy.backends.values()
    ):
        yield "a backend whose capacity says no tokens_per_s or tokens_per_day is never full here"
