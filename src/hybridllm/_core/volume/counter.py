"""The counts of one scope: what came since the last beat, its windows, its days.

What is added waits for a beat, which puts it into windows and days.
"""

from __future__ import annotations

from hybridllm._core.policy.hybrid import Measure, Window
from hybridllm._core.volume.days import NOTHING, Amounts, Days
from hybridllm._core.volume.needs import Rings
from hybridllm._core.volume.ring import Ring


class Counter:
    """One scope.

    Attributes:
        looked_at_s: When the conditions on it as somebody's own were last looked at.
    """

    __slots__ = ("_fresh", "_rings", "days", "looked_at_s", "scope")

    def __init__(self, scope: str, rings: Rings, now_s: float) -> None:
        self.scope = scope
        self.days = Days()
        self.looked_at_s = float("-inf")
        self._fresh = NOTHING
        self._rings: dict[tuple[Measure, Window], Ring] = {}
        self.follow(rings, now_s)

    def follow(self, rings: Rings, now_s: float) -> None:
        """Count these windows from now on; those that were counted before go on."""
        known = self._rings
        self._rings = {ring: known.get(ring) or Ring(ring[1], now_s) for ring in rings}

    def add(self, amounts: Amounts) -> None:
        """Count more."""
        self._fresh = amounts if self._fresh is NOTHING else self._fresh.plus(amounts)

    def beat(self, now_s: float, *, day: int, today: int) -> Amounts | None:
        """Put what came since the last beat into windows and days, and return it; None: nothing came.

        Args:
            now_s: When it came.
            day: On which day.
            today: Which day it is by now.
        """
        amounts, self._fresh = self._fresh, NOTHING
        if amounts is NOTHING:
            return None
        for (measure, _), ring in self._rings.items():
            ring.add(amounts.of(measure), now_s)
        self.days.add(day, amounts, today=today)
        return amounts

    def clear_fresh(self) -> None:
        """Forget what came since the last beat: another process counts it."""
        self._fresh = NOTHING

    def total(self, ring: tuple[Measure, Window], now_s: float) -> tuple[int, bool]:
        """Return the sum of a window, and whether all of the window was counted."""
        found = self._rings[ring]
        return found.total(now_s), found.whole(now_s)
