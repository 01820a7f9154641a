"""The date and time; the only place that reads them. Apart from `clock.py`, which loads asyncio."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return aware UTC time."""
    return datetime.now(UTC)  # noqa: TID251 - the one reader of the wall clock
