"""How many tokens a second a backend was measured to process, by how much it had to do.

Prompt and generated tokens together. The counters of two reports tell it for all of a server's callers; where
it has none, our own answers do, which are all there is as long as nobody else uses it. A batch of sixteen
does more than one request alone, so the figure is kept by load, in powers of two.
"""

from __future__ import annotations

from math import exp

MEASURED_S_MIN = 2.0
"""A shorter time says nothing: prompts are counted all at once."""

_LOADS = 12  # 1, 2-3, 4-7, ... from 1,024 on
_MEMORY_S = 20.0  # of time at that load
_SUSTAINED_S = 10.0
_WINDOW_S = 5.0


class Throughput:
    """What was measured of one backend; any thread may look.

    Attributes:
        best: Tokens a second, the most that it kept up for some ten seconds; 0: not measured.
    """

    __slots__ = ("_at", "_by_load", "_level", "best")

    def __init__(self) -> None:
        self._at: tuple[float | None, ...] = (None,) * _LOADS  # as told
        self._by_load = [(0.0, 0.0)] * _LOADS  # (tokens, seconds), what is long ago counted less
        self._level = 0.0
        self.best = 0.0

    def measured(self, tokens: float, seconds: float, load: float) -> None:
        """Note what was done in a time; `load` is how many requests ran, on average."""
        if seconds <= 0.0 or tokens < 0.0:
            return
        self._level += (tokens / seconds - self._level) * (1.0 - exp(-seconds / _SUSTAINED_S))
        self.best = max(self.best, self._level)
        if load < 0.5 or not tokens:
            return  # nearly idle, or at a standstill: that is no measure of what it can do
        place, kept = _place(load), exp(-seconds / _MEMORY_S)
        before, before_s = self._by_load[place]
        self._by_load[place] = (before * kept + tokens, before_s * kept + seconds)
        self._at = tuple(self._nearest(each) for each in range(_LOADS))

    def at(self, load: float) -> float | None:
        """Return what it does at a load, or at the nearest that was measured; None: none was."""
        return self._at[_place(load)]

    def _nearest(self, place: int) -> float | None:
        for distance in range(_LOADS):
            for other in (place - distance, place + distance):
                if 0 <= other < _LOADS and self._by_load[other][1] >= MEASURED_S_MIN:
                    return self._by_load[other][0] / self._by_load[other][1]
        return None

    @property
    def by_load(self) -> tuple[tuple[int, float], ...]:
        """(Fewest requests at once, tokens a second) of the loads that were measured."""
        return tuple(
            (1 << place, tokens / seconds)
            for place, (tokens, seconds) in enumerate(self._by_load)
            if seconds >= MEASURED_S_MIN
        )


class OwnWork:
    """What our own requests to a backend come to, in windows of five busy seconds.

    Attributes:
        tokens_each: Of a request, prompt and answer, on average; None: none has ended.
    """

    __slots__ = ("_area", "_at_s", "_busy_s", "_tokens", "tokens_each")

    def __init__(self) -> None:
        self.tokens_each: float | None = None
        self._tokens = 0
        self._busy_s = 0.0
        self._area = 0.0  # requests under way, times seconds
        self._at_s = 0.0

    def changes(self, in_flight: int, now_s: float) -> None:
        """The number of requests under way is about to change from `in_flight`."""
        if in_flight:
            passed_s = now_s - self._at_s
            self._busy_s += passed_s
            self._area += in_flight * passed_s
        self._at_s = now_s

    def done(self, tokens: int) -> None:
        """A request has ended that took so many tokens."""
        self._tokens += tokens
        each = self.tokens_each
        self.tokens_each = float(tokens) if each is None else each + (tokens - each) * 0.05

    def window(self) -> tuple[float, float, float] | None:
        """Return (tokens, seconds, load) of a window that is full, and begin the next; None: it is not."""
        busy_s = self._busy_s
        if busy_s < _WINDOW_S:
            return None
        found = (float(self._tokens), busy_s, self._area / busy_s)
        self._tokens, self._busy_s, self._area = 0, 0.0, 0.0
        return found


def wait_s(
    waiting: float | None, *, full: bool, tokens_each: float | None, tokens_per_s: float | None
) -> float | None:
    """Return how long a request that comes now waits until it is worked on; None: not known.

    Whoever waits is ahead of it, and one more must be done before a slot is free: that many requests' tokens,
    at the pace of all slots together. Not all that runs must be done first: with sixteen slots one of them is
    free in a sixteenth of a request's time.
    """
    if not full and waiting == 0:
        return 0.0
    if not full or tokens_each is None or not tokens_per_s:
        return None
    return ((waiting or 0.0) + 1.0) * tokens_each / tokens_per_s


def _place(load: float) -> int:
    return min(_LOADS - 1, max(0, round(load).bit_length() - 1))
