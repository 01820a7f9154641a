"""Conditions as the router judges them: what stands under `when`, made ready.

All conditions of a `When` must hold. Each looks at one fact, or holds others (`Not`, `AnyOf`). Judging
is `decide/match.py`'s; this module only says what there is to judge, in values and in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from hybridllm._core.policy.hybrid import (
    BREAK_EVEN_DWELL_S,
    MARGIN,
    BreakEven,
    Volume,
    default_dwell_s,
    default_exit,
)
from hybridllm._core.policy.units import WEEKDAYS

METADATA = "metadata."
SINGLE = frozenset({"task", "tenant", "feature", "session", "environment"})
GLOB_SIGNS = frozenset("*?[")
# Facts with so many values that no decision about them is remembered; they are judged per request.
PER_REQUEST = frozenset({"session", "input_tokens", "time", "volume", "break_even"})
BOUNDS = ("gte", "gt", "lte", "lt")


@dataclass(frozen=True, slots=True)
class Text:
    """The fact has a value that is one of the names, or fits one as a pattern (`acme-*`).

    Attributes:
        fact: task, bucket, residency, tenant, feature, session, environment, capability, tags or
            `metadata.KEY`. Of a fact with many values one is enough.
    """

    fact: str
    patterns: frozenset[str]
    globs: tuple[str, ...] = field(init=False)  # those of them that are more than a name
    single: bool = field(init=False)  # a field of the request's facts: one value, or none

    def __post_init__(self) -> None:
        found = (one for one in self.patterns if not GLOB_SIGNS.isdisjoint(one))
        object.__setattr__(self, "globs", tuple(sorted(found)))
        object.__setattr__(self, "single", self.fact in SINGLE)


@dataclass(frozen=True, slots=True)
class Number:
    """The fact is a number within bounds; one that is not there, or no number, is not.

    Attributes:
        fact: input_tokens or `metadata.KEY`.
    """

    fact: str
    gte: Decimal | None = None
    gt: Decimal | None = None
    lte: Decimal | None = None
    lt: Decimal | None = None

    def holds(self, value: Decimal | int) -> bool:
        """Return whether a number is within the bounds."""
        return (
            (self.gte is None or value >= self.gte)
            and (self.gt is None or value > self.gt)
            and (self.lte is None or value <= self.lte)
            and (self.lt is None or value < self.lt)
        )


@dataclass(frozen=True, slots=True)
class Flag:
    """The fact is true, or is false. `fact` is `stream`."""

    fact: str
    value: bool


@dataclass(frozen=True, slots=True)
class Hours:
    """The wall clock of a zone is within a window; one that ends before it begins goes over midnight.

    Attributes:
        from_minute: Of the day, 0 to 1439, included.
        to_minute: Of the day, 1 to 1440, not included.
        weekdays: On which the window begins, 0 is Monday; all seven: every day.
    """

    from_minute: int
    to_minute: int
    weekdays: frozenset[int]
    zone: tzinfo
    zone_name: str
    fact: str = "time"


def within(hours: Hours, now_utc: datetime) -> bool:
    """Return whether a point in time is within a window of hours."""
    local = now_utc.astimezone(hours.zone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    begin, end = hours.from_minute, hours.to_minute
    if begin < end:
        return begin <= minute < end and day in hours.weekdays
    if minute >= begin:
        return day in hours.weekdays
    return minute < end and (day - 1) % 7 in hours.weekdays  # began the day before


@dataclass(frozen=True, slots=True)
class Not:
    """What it holds does not hold."""

    when: When


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of those that it holds does; at least one."""

    whens: tuple[When, ...]


Live = Volume | BreakEven
"""What holds or does not is found out over time, beside the requests, and stands in the snapshot."""
Leaf = Text | Number | Flag | Hours | Volume | BreakEven
Condition = Leaf | Not | AnyOf


@dataclass(frozen=True, slots=True)
class When:
    """Conditions: all must hold; none holds always.

    Attributes:
        per_request: True if one looks at a fact of `PER_REQUEST` or at metadata, however deep.
    """

    conditions: tuple[Condition, ...] = ()
    per_request: bool = field(init=False)

    def __post_init__(self) -> None:
        looks = any(
            one.fact in PER_REQUEST or one.fact.startswith(METADATA) for one in leaves(self)
        )
        object.__setattr__(self, "per_request", looks)

    def to_dict(self) -> dict[str, Any]:
        """Return the conditions as a policy file would write them, ready for JSON."""
        return condition_facts(self)

    def __str__(self) -> str:
        return when_text(self)


def leaves(when: When, *, negated: bool = True) -> Iterator[Leaf]:
    """Yield every condition on a fact, however deep; without those under a `not`, if `negated` is False."""
    for condition in when.conditions:
        if isinstance(condition, Not):
            if negated:
                yield from leaves(condition.when)
        elif isinstance(condition, AnyOf):
            for inner in condition.whens:
                yield from leaves(inner, negated=negated)
        else:
            yield condition


ALWAYS = When()


def facts_looked_at(when: When) -> frozenset[str]:
    """Return the facts that the conditions look at."""
    return frozenset(leaf.fact for leaf in leaves(when))


def named(when: When, fact: str) -> frozenset[str]:
    """Return the names and patterns that conditions ask `fact` to be; what it must not be is none."""
    return frozenset(
        pattern
        for leaf in leaves(when, negated=False)
        if isinstance(leaf, Text) and leaf.fact == fact
        for pattern in leaf.patterns
    )


def condition_facts(when: When) -> dict[str, Any]:
    """Return the conditions as a policy file would write them, ready for JSON."""
    told: dict[str, Any] = {}
    for condition in when.conditions:
        if isinstance(condition, Not):
            told["not"] = condition_facts(condition.when)
        elif isinstance(condition, AnyOf):
            told["any"] = [condition_facts(inner) for inner in condition.whens]
        elif condition.fact.startswith(METADATA):
            key = condition.fact.removeprefix(METADATA)
            told.setdefault("metadata", {})[key] = _value(condition)
        else:
            told[condition.fact] = _value(condition)
    return told


def when_text(when: When) -> str:
    """Return the conditions in one line; `always` if there are none."""
    return _line(condition_facts(when)) or "always"


def _line(told: Mapping[str, Any]) -> str:
    return "; ".join(_told(key, value) for key, value in told.items())


def _told(key: str, value: Any) -> str:
    if key == "not":
        return f"not ({_line(value)})"
    if key == "any":
        return "any of " + " or ".join(f"({_line(one)})" for one in value)
    if key == "metadata":
        return "; ".join(_told(f"metadata {name}", one) for name, one in value.items())
    if isinstance(value, list):
        return f"{key} {', '.join(value)}"
    if isinstance(value, dict):
        return f"{key} " + ", ".join(_told(name, one) for name, one in value.items())
    return f"{key} {str(value).lower() if isinstance(value, bool) else value}"


def _value(leaf: Leaf) -> Any:
    if isinstance(leaf, Text):
        return sorted(leaf.patterns)
    if isinstance(leaf, Number):
        return {name: _number(at) for name in BOUNDS if (at := getattr(leaf, name)) is not None}
    if isinstance(leaf, Flag):
        return leaf.value
    if isinstance(leaf, Volume):
        return volume_facts(leaf)
    if isinstance(leaf, BreakEven):
        return break_even_facts(leaf)
    told: dict[str, Any] = {"from": clock_text(leaf.from_minute), "to": clock_text(leaf.to_minute)}
    if len(leaf.weekdays) < len(WEEKDAYS):
        told["weekdays"] = [WEEKDAYS[day] for day in sorted(leaf.weekdays)]
    return told | {"zone": leaf.zone_name}


def volume_facts(volume: Volume) -> dict[str, Any]:
    """Return a condition on volume as a policy file would write it, ready for JSON."""
    rate = f"{volume.measure.value}_per_{volume.window.value}"
    told: dict[str, Any] = {rate: {"lt" if volume.below else "gte": _number(volume.enter)}}
    if volume.scope != "all":
        told["of"] = volume.scope
    if volume.sustained_days:
        told["sustained"] = f"{volume.sustained_days}d"
    if volume.exit != default_exit(volume.enter, below=volume.below):
        told["exit"] = _number(volume.exit)
    if volume.min_dwell_s != default_dwell_s(volume.sustained_days):
        told["min_dwell"] = f"{volume.min_dwell_s:g}s"
    return told


def break_even_facts(condition: BreakEven) -> Any:
    """Return a condition on break-even as a policy file would write it, ready for JSON."""
    word = "above" if condition.above else "below"
    told: dict[str, Any] = {"is": word}
    if condition.backends:
        told["of"] = list(condition.backends)
    if condition.margin != MARGIN:
        told["margin"] = condition.margin
    if condition.min_dwell_s != BREAK_EVEN_DWELL_S:
        told["min_dwell"] = f"{condition.min_dwell_s:g}s"
    return told if len(told) > 1 else word


def _number(value: Decimal) -> int | str:
    return int(value) if value == int(value) else f"{value:f}"


def clock_text(minute: int) -> str:
    """Return a minute of the day as clocks show it: `08:30`."""
    return f"{minute // 60:02}:{minute % 60:02}"
