"""What is told of live conditions: that one has begun or ended to hold, and how each stands. Values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hybridllm._core.policy.conditions import When, when_text
from hybridllm._core.policy.hybrid import BreakEven, Measure, Volume
from hybridllm._core.volume.days import PICO
from hybridllm._core.volume.gates import Flip, Reading


@dataclass(frozen=True, slots=True)
class Crossing:
    """A live condition has begun to hold, or ended to.

    Attributes:
        condition: As the policy has it.
        whose: The tenant or the task, if it is about a request's own; else empty.
        at: UTC.
        text: What it looked at, in words.
    """

    condition: Volume | BreakEven
    whose: str
    holds: bool
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a live condition stands.

    Attributes:
        since: When it last changed, UTC; None: it never has.
        share: How near it is to where it begins to hold; from 1 on it is there, or holds.
    """

    condition: Volume | BreakEven
    whose: str
    holds: bool
    since: datetime | None
    reading: Reading
    share: float


def crossing_of(flip: Flip, at: datetime) -> Crossing:
    """Return what is told of a condition that has changed."""
    return Crossing(flip.condition, flip.whose, flip.holds, at, _words(flip))


def _words(flip: Flip) -> str:
    reading, condition = flip.reading, condition_text(flip.condition)
    whose = f" of {flip.whose!r}" if flip.whose else ""
    now = "holds now" if flip.holds else "holds no longer"
    if reading.weighed is not None:
        return f"{condition}{whose}: {now}: {reading.weighed.text}"
    if reading.row is not None:
        return f"{condition}{whose}: {now}; {reading.row.days} days in a row reach it"
    return f"{condition}{whose}: {now}, at {_figure(flip.condition, reading.now)}"


def _figure(condition: Volume | BreakEven, now: float | None) -> str:
    if now is None:
        return "an unknown volume"
    if isinstance(condition, Volume) and condition.measure is Measure.USD:
        return f"{now / PICO:.2f} USD"
    return f"{now:,.0f}"


def condition_text(condition: Volume | BreakEven) -> str:
    """Return a live condition in one line, as a policy would write it."""
    return when_text(When((condition,)))
