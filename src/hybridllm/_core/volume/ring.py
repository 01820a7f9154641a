"""How much came in the last minute, hour or day: exact sums in buckets, in bounded memory.

Time comes in as `now_s`, monotonic. A sum never holds what is older than the window, and misses at most its
oldest bucket: one sixtieth of a minute or an hour, five minutes of a day.
"""

from __future__ import annotations

from hybridllm._core.policy.hybrid import Window

SHAPES: dict[Window, tuple[int, float]] = {
    Window.MINUTE: (60, 1.0),
    Window.HOUR: (60, 60.0),
    Window.DAY: (288, 300.0),
}
"""(buckets, seconds of each) of the windows that are counted this way; months are sums of days."""


class Ring:
    """The amounts of one window.

    Args:
        window: One of `SHAPES`.
        now_s: From when on it counts.
    """

    __slots__ = ("_amounts", "_at", "_began", "_sum", "_width_s")

    def __init__(self, window: Window, now_s: float) -> None:
        buckets, self._width_s = SHAPES[window]
        self._amounts = [0] * buckets
        self._sum = 0
        self._at = self._began = int(now_s // self._width_s)

    def add(self, amount: int, now_s: float) -> None:
        """Count what came at a time; one before the latest counts as then."""
        self._forward(now_s)
        self._amounts[self._at % len(self._amounts)] += amount
        self._sum += amount

    def total(self, now_s: float) -> int:
        """Return the sum over the window that ends now."""
        self._forward(now_s)
        return self._sum

    def whole(self, now_s: float) -> bool:
        """Return whether it has counted for all of the window; if not, `total` is the least that came."""
        self._forward(now_s)
        return self._at - self._began >= len(self._amounts)

    def _forward(self, now_s: float) -> None:
        at, amounts = int(now_s // self._width_s), self._amounts
        if at <= self._at:
            return
        size = len(amounts)
        if at - self._at >= size:
            amounts[:] = [0] * size
            self._sum = 0
        else:
            for passed in range(self._at + 1, at + 1):
                self._sum -= amounts[passed % size]
                amounts[passed % size] = 0
        self._at = at
