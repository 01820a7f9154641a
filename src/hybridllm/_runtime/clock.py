"""Real time; the only place that reads it, with `wall_clock.py`."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from hybridllm._runtime import wall_clock


class SystemClock:
    """The running loop's time for durations, so that deadlines, timeouts and virtual time agree.

    Outside a loop (`explain` in a thread) it is the time of the loop that it was last asked in.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def monotonic_s(self) -> float:
        """See `Clock.monotonic_s`."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None:
                return time.monotonic()  # noqa: TID251 - the one reader of the clock
        return self._loop.time()

    def utc_now(self) -> datetime:
        """See `Clock.utc_now`."""
        return wall_clock.utc_now()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)
