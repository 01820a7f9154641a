"""What is kept of volumes over restarts: totals by day, and which conditions hold; as values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hybridllm._core.policy.hybrid import BreakEven, Volume
from hybridllm._core.volume.days import Amounts

DayKey = tuple[str, int]
"""Scope, and the day as `date.toordinal` gives it."""
GateKey = tuple[str, str]
"""A condition's digest, and whom it is about; empty: nobody's own."""

_NO_DAYS: Mapping[DayKey, Amounts] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StoredState:
    """Whether a condition held.

    Attributes:
        since: When it last changed, UTC.
    """

    holds: bool
    since: datetime


_NO_STATES: Mapping[GateKey, StoredState] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stored:
    """Totals and states: to be written (then the totals are added to what is there), or as they were read."""

    days: Mapping[DayKey, Amounts] = field(default_factory=lambda: _NO_DAYS)
    states: Mapping[GateKey, StoredState] = field(default_factory=lambda: _NO_STATES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read.

    Attributes:
        whole: Scopes of which every day is.
        kinds: Kinds of scopes (`tenant`) of which those are that were counted last, `names_max` of each.
        latest: Scopes of which the days from `from_day` on are.
        digests: Of the conditions whose states are.
    """

    whole: frozenset[str] = frozenset()
    kinds: tuple[str, ...] = ()
    names_max: int = 0
    latest: frozenset[str] = frozenset()
    from_day: int = 0
    digests: frozenset[str] = frozenset()


def digest_of(condition: Volume | BreakEven) -> str:
    """Return what a condition is known by in a file: the same for equal ones, and only for them."""
    values = ((one.name, _plain(getattr(condition, one.name))) for one in fields(condition))
    text = "; ".join(f"{name}={value!r}" for name, value in values)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def names_of(days: Iterable[DayKey]) -> list[tuple[str, str]]:
    """Return kind and name of the scopes that were counted, the latest last."""
    latest: dict[str, int] = {}
    for scope, day in days:
        latest[scope] = max(day, latest.get(scope, 0))
    scopes = (scope.partition(":") for scope in sorted(latest, key=lambda one: latest[one]))
    return [(kind, name) for kind, _, name in scopes]


def states_of(
    stored: Stored, digests: Mapping[Volume | BreakEven, str], now_utc: datetime
) -> Iterator[tuple[Volume | BreakEven, str, StoredState, float]]:
    """Yield the states of conditions: condition, whom it is about, state, and how long ago it changed.

    Of one that changed after now, by a clock that was ahead, it is as if it had changed now.
    """
    conditions = {digest: condition for condition, digest in digests.items()}
    for (digest, whose), state in stored.states.items():
        if digest in conditions:
            ago_s = max(0.0, (now_utc - state.since).total_seconds())
            yield conditions[digest], whose, state, ago_s


def _plain(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value
