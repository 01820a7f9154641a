"""What is told of live conditions: that one has begun or ended to hold, and how each stands."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hybridllm._core.money.pico import PICO
from hybridllm._core.policy.conditions import When, when_text
from hybridllm._core.policy.hybrid import BreakEven, Measure, Volume
from hybridllm._core.volume.gates import Flip, Reading

_KEPT = 32
_logger = logging.getLogger("hybridllm")


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


class Crossings:
    """The latest crossings, and who is told of each.

    Attributes:
        listeners: Each is called with every crossing; what one raises harms nobody.
        latest: The last of them, the oldest first.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[[Crossing], object]] = []
        self.latest: deque[Crossing] = deque(maxlen=_KEPT)

    def tell(self, crossing: Crossing) -> None:
        """Log it, keep it, and tell whoever listens."""
        # Of a request's own there may be thousands.
        _logger.log(logging.DEBUG if crossing.whose else logging.INFO, "%s", crossing.text)
        self.latest.append(crossing)
        for listener in self.listeners:
            try:
                listener(crossing)
            except Exception as error:  # noqa: BLE001 - a border: whatever it is, requests go on
                _logger.warning("a listener to crossings failed: %s", type(error).__name__)


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
