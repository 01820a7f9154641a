"""Loads and volumes as people write them down, for tests of policies and for `explain`.

What is not said is not known: an idle backend, and a volume by which no condition holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hybridllm._core.decide.match import Held, whose
from hybridllm._core.decide.snapshot import Load
from hybridllm._core.policy.compiled import Backend, Policy
from hybridllm._core.policy.hybrid import BreakEven, Cause, Measure, Trigger, Volume, Window
from hybridllm._core.request.facts import Facts
from hybridllm._core.telemetry.heard import Belief
from hybridllm._core.telemetry.saturated import saturated_because

OWN = "*"
"""In place of a backend's name: every backend of one's own."""
_OWN_SCOPES = ("task", "tenant")


@dataclass(frozen=True, slots=True)
class GivenLoad:
    """How busy a backend is said to be; None, or False: nothing is said.

    Attributes:
        saturated: True if it has as much to do as it can take, whatever the figures are.
        waiting: Requests in its queue.
        kv_used: Share of its KV cache in use, 0 to 1.
        wait_s: How long a new request would wait for its first token.
        rate_limited: True if it said 429 and is left alone.
        out: True if its breaker is open.
        budget: True if the money that overflows allow it, or our credit there, is used up.
        cold_s: Seconds until it is expected to be awake.
    """

    saturated: bool = False
    waiting: float | None = None
    kv_used: float | None = None
    wait_s: float | None = None
    rate_limited: bool = False
    out: bool = False
    budget: bool = False
    cold_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is said, as a test writes it, ready for JSON; of times the seconds."""
        told = {
            "saturated": self.saturated or None,
            "waiting": _plain(self.waiting),
            "kv_cache_pct": _plain(self.kv_used, 100),
            "predicted_wait_ms": _plain(self.wait_s, 1_000),
            "rate_limited": self.rate_limited or None,
            "out": self.out or None,
            "budget": self.budget or None,
            "cold_s": _plain(self.cold_s),
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class GivenVolume:
    """What is said to have come in.

    Attributes:
        amounts: Of each rate that is given, over its window.
        sustained_days: On so many whole days in a row so much came.
        scope: Whose: as a condition's `of` names it; None: of whatever a condition looks at.
    """

    amounts: Mapping[tuple[Measure, Window], Decimal]
    sustained_days: int = 0
    scope: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is said, as a test writes it, ready for JSON."""
        told: dict[str, Any] = {
            f"{measure.value}_per_{window.value}": f"{amount.normalize():f}"
            for (measure, window), amount in self.amounts.items()
        }
        if self.sustained_days:
            told["sustained"] = f"{self.sustained_days}d"
        return told if self.scope is None else told | {"of": self.scope}


def _plain(value: float | None, times: int = 1) -> float | None:
    """Return a number as a person writes it: 9 rather than 9.0."""
    if value is None:
        return None
    number = round(value * times, 6)
    return int(number) if number == int(number) else number


def loads_of(
    policy: Policy, given: Mapping[str, GivenLoad], in_flight: Mapping[str, int]
) -> dict[str, Load]:
    """Return the load of every backend of which something is said, or whose load decides somewhere."""
    found = {}
    for name, backend in policy.backends.items():
        said = given_of(backend, given)
        if said is not None or name in policy.loaded:
            found[name] = _load(policy, backend, said or GivenLoad(), in_flight.get(name, 0))
    return found


def given_of(backend: Backend, given: Mapping[str, GivenLoad]) -> GivenLoad | None:
    """Return what is said of a backend: of it alone, or of every one of one's own."""
    return given.get(backend.name) or (given.get(OWN) if backend.own else None)


def _load(policy: Policy, backend: Backend, said: GivenLoad, in_flight: int) -> Load:
    models = frozenset(
        candidate.model.name
        for served in policy.candidates.values()
        for candidate in served
        if candidate.backend is backend
    )
    nobody = frozenset[str]()
    return Load(
        in_flight=in_flight,
        waiting=said.waiting,
        kv_used=said.kv_used,
        wait_s=said.wait_s,
        saturated=_saturated(backend, said, in_flight),
        rate_limited=models if said.rate_limited else nobody,
        out=models if said.out else nobody,
        broke=models if said.budget else nobody,
        spent_usd=_spent(policy, backend) if said.budget else (0.0, 0.0),
        cold=said.cold_s,
    )


def _saturated(backend: Backend, said: GivenLoad, in_flight: int) -> str:
    """Why it has as much to do as it can take, in words; empty: it has not."""
    slots = backend.concurrency
    if slots is not None and slots.fixed and in_flight >= slots.ceiling:
        return "no free slot"
    because = saturated_because(
        backend.saturation,
        Belief(waiting=said.waiting),
        in_flight=in_flight,
        kv_used=said.kv_used,
        overdue=0,
        silent_s=None,
        frozen_s=None,
        asleep=False,
    )
    return because or ("as given" if said.saturated else "")


def _spent(policy: Policy, backend: Backend) -> tuple[float, float]:
    """Return what just uses up the budgets that overflows allow a backend, per day and per month."""
    bounds = {"day": 0.0, "month": 0.0}
    for cause in _budgets(policy, backend.name):
        if cause.per is not None and cause.above is not None:
            bounds[cause.per] = max(bounds[cause.per], cause.above)
    return bounds["day"], bounds["month"]


def without_credit(policy: Policy, backend: Backend, said: GivenLoad) -> bool:
    """Return whether a backend refuses because our credit is used up; a budget of ours refuses nothing."""
    return said.budget and any(cause.per is None for cause in _budgets(policy, backend.name))


def _budgets(policy: Policy, backend: str) -> Iterator[Cause]:
    for route in policy.routes:
        for overflow in route.overflows:
            if backend in overflow.sources:
                yield from (one for one in overflow.causes if one.trigger is Trigger.BUDGET)


def held_in(
    policy: Policy, facts: Facts, volumes: Iterable[GivenVolume], *, break_even: bool | None
) -> frozenset[Held]:
    """Return the live conditions of a policy that hold, each for whom the request makes it about.

    As if nothing had held before: between where it begins and where it ends to hold, a condition does not.

    Args:
        policy: Whose conditions.
        facts: Of the request, for conditions on its own task or tenant.
        volumes: What came in.
        break_even: True: the APIs would cost more than own machines; False: less; None: not known.
    """
    volumes = tuple(volumes)
    return frozenset(
        (condition, whose(condition, facts))
        for condition in policy.live
        if (
            condition.above is break_even
            if isinstance(condition, BreakEven)
            else _reached(condition, volumes)
            and (condition.scope not in _OWN_SCOPES or whose(condition, facts))
        )
    )


def _reached(condition: Volume, volumes: tuple[GivenVolume, ...]) -> bool:
    rate = (condition.measure, condition.window)
    fitting = [one for one in volumes if rate in one.amounts]
    said = next((one for one in fitting if one.scope == condition.scope), None)
    said = said or next((one for one in fitting if one.scope is None), None)
    if said is None or said.sustained_days < condition.sustained_days:
        return False
    amount = said.amounts[rate]
    return amount < condition.enter if condition.below else amount >= condition.enter
