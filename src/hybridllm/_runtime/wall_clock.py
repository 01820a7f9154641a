"""The date and time; the only place that reads them. Apart from `clock.py`, which loads asyncio."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._runtime.ports import Clock


def utc_now() -> datetime:
    """Return aware UTC time."""
    return datetime.now(UTC)  # noqa: TID251 - the one reader of the wall clock


def utc_by(clock: Clock | None) -> datetime:
    """Return the time of a clock that was handed in; real time if there is none, or it cannot tell yet."""
    if clock is not None:
        try:
            return clock.utc_now()
        except RuntimeError:  # it follows an event loop, and none runs
            pass
    return utc_now()
