"""How long things took, counted in steps of a twelfth: flat in memory, however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, exp, log, sqrt
from typing import NamedTuple

_STEPS = 8.0  # to a factor of e
_RISK = 1e-3


class Spread(NamedTuple):
    """A number that is estimated, and between which it lies; None: nobody knows."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def exact(cls, value: float | None) -> Spread:
        """Return a number that is known."""
        return cls(value, value, value)


class Histogram:
    """Counts of durations.

    Attributes:
        count: How many there are.
    """

    __slots__ = ("_steps", "count")

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}
        self.count = 0

    def add(self, duration_us: int) -> None:
        """Count one more."""
        step = ceil(_STEPS * log(duration_us)) if duration_us > 0 else 0
        self._steps[step] = self._steps.get(step, 0) + 1
        self.count += 1

    def join(self, other: Histogram) -> None:
        """Count all of another's."""
        for step, count in other._steps.items():
            self._steps[step] = self._steps.get(step, 0) + count
        self.count += other.count

    def shares(self) -> dict[int, float]:
        """Return the share of each step."""
        return {step: count / self.count for step, count in self._steps.items()}


class Part(NamedTuple):
    """Some of the requests, and how long they take.

    Attributes:
        weight: How many they are.
        seen: As long as these took; None: nobody knows.
        exact: True if they are these very ones, so that nothing is estimated.
        unsure: How many of them may have taken any time.
    """

    weight: float
    seen: Histogram | None
    exact: bool = False
    unsure: float = 0.0


def quantile_us(parts: Iterable[Part], quantile: float) -> Spread:
    """Return a quantile of all parts together, in microseconds.

    What was seen of others is a sample: its distribution is off by no more than the inequality of Dvoretzky,
    Kiefer and Wolfowitz says. Where nothing was seen, any duration may be.
    """
    whole = unknown = slack = 0.0
    steps: dict[int, float] = {}
    for weight, seen, exact, unsure in parts:
        whole += weight
        if seen is None or not seen.count:
            unknown += weight
            continue
        if not exact:
            slack += unsure + weight * min(1.0, sqrt(log(2 / _RISK) / (2 * seen.count)))
        for step, share in seen.shares().items():
            steps[step] = steps.get(step, 0.0) + weight * share
    if not steps:
        return Spread(None, None, None)
    order, wanted = sorted(steps.items()), quantile * whole
    value = _at(order, quantile * (whole - unknown)) if unknown < whole / 2 else None
    if not slack and not unknown:
        return Spread.exact(value)
    low, high = _at(order, wanted - unknown - slack), _at(order, wanted + slack)
    return Spread(value, low and low / exp(1 / _STEPS), high and high * exp(1 / _STEPS))


def _at(order: list[tuple[int, float]], wanted: float) -> float | None:
    """Return up to where so many are; None: there are not so many."""
    if wanted <= 0:
        return 0.0
    reached = 0.0
    for step, weight in order:
        reached += weight
        if reached >= wanted - 1e-9 * wanted:
            return exp(step / _STEPS)
    return None
