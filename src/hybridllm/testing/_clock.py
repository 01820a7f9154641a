"""Clocks for tests: one that moves when told, one that follows the event loop."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

_START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until `advance` moves it.

    `sleep` returns once the clock has been moved far enough. The wall clock can be moved on its own
    with `set_utc`, as an operator or NTP would; durations never notice.
    """

    def __init__(self, *, start_s: float = 0.0, utc: datetime = _START) -> None:
        if utc.tzinfo is None:
            raise ValueError(f"the start of a clock must be an aware datetime: {utc!r}")
        self._now_s = start_s
        self._utc = utc
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic_s(self) -> float:
        """Seconds since the clock was made, as `start_s` and `advance` tell."""
        return self._now_s

    def utc_now(self) -> datetime:
        """The date and time, as `utc`, `advance` and `set_utc` tell."""
        return self._utc

    def set_utc(self, utc: datetime) -> None:
        """Set the wall clock, forwards or backwards. Nobody who sleeps is woken."""
        self._utc = utc

    def advance(self, seconds: float) -> None:
        """Move the clock forward and wake whoever's time has come, in order.

        They run when the event loop next gets the word: `await asyncio.sleep(0)`.
        """
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards: advance({seconds})")
        self._now_s += seconds
        self._utc += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._now_s:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    @property
    def sleeping(self) -> int:
        """How many callers of `sleep` wait for the clock."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._order), sleeper))
        await sleeper


class LoopClock:
    """A clock that follows the running event loop, so that with `VirtualTimeLoop` it is virtual too.

    The wall clock starts at `utc` when the loop's time is 0, which is where a `VirtualTimeLoop` starts.
    """

    def __init__(self, *, utc: datetime = _START) -> None:
        self._utc = utc

    def monotonic_s(self) -> float:
        """The running loop's time."""
        return asyncio.get_running_loop().time()

    def utc_now(self) -> datetime:
        """`utc`, and the loop's time later."""
        return self._utc + timedelta(seconds=self.monotonic_s())

    async def sleep(self, seconds: float) -> None:
        """Wait in the loop's time."""
        await asyncio.sleep(seconds)
