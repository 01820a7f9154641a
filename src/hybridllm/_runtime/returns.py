"""Who has just come back: candidates whose breaker closed a moment ago get their share little by little."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

RAMP_S = 5.0
"""After so many seconds a candidate has its whole share again."""

_FROM = 0.1


class Returns:
    """The candidates that are coming back, by name.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._closed_at_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._closed_at_s)

    def begin(self, name: str) -> None:
        """Begin with a candidate that has just come back."""
        self._closed_at_s[name] = self._now_s()

    def share(self, name: str) -> float:
        """Return how much of its share a candidate gets; below 1: it is coming back. Any thread may look."""
        closed_at_s = self._closed_at_s.get(name)
        if closed_at_s is None:
            return 1.0
        return min(1.0, max(_FROM, (self._now_s() - closed_at_s) / RAMP_S))

    def weights(self) -> Mapping[str, float]:
        """Return the share of each that is coming back; forgets those that have come."""
        weights = {}
        for name in list(self._closed_at_s):
            share = self.share(name)
            if share >= 1.0:
                del self._closed_at_s[name]
            else:
                weights[name] = share
        return weights

    def keep(self, names: Collection[str]) -> None:
        """Forget all but these."""
        for name in self._closed_at_s.keys() - set(names):
            del self._closed_at_s[name]
