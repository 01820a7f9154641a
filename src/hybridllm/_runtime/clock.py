"""Real time; the only place that reads it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """The running loop's time for durations, so that deadlines, timeouts and virtual time agree."""

    def monotonic_s(self) -> float:
        """See `Clock.monotonic_s`."""
        return asyncio.get_running_loop().time()

    def utc_now(self) -> datetime:
        """See `Clock.utc_now`."""
        return datetime.now(UTC)  # noqa: TID251 - the one reader of the wall clock

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)
