"""Which hour, day or month a moment belongs to, in UTC, and when the next one begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from hybridllm._core.policy.budgets import Period


class Span(NamedTuple):
    """One hour, day or month.

    Attributes:
        key: `2026-11-28T21`, `2026-11-28` or `2026-11`: those of a kind sort in time.
        ends_at: When the next one begins.
        kept_until: So long what was spent in it is remembered: a wall clock may be set back over its end.
    """

    key: str
    ends_at: datetime
    kept_until: datetime


def span_of(per: Period, now_utc: datetime) -> Span:
    """Return the span that a moment lies in; its end is not in it."""
    return _span(per, now_utc.year, now_utc.month, now_utc.day, now_utc.hour)


@lru_cache(maxsize=256)
def _span(per: Period, year: int, month: int, day: int, hour: int) -> Span:
    if per is Period.HOUR:
        begin, key = datetime(year, month, day, hour, tzinfo=UTC), "%Y-%m-%dT%H"
        ends_at = begin + timedelta(hours=1)
    elif per is Period.DAY:
        begin, key = datetime(year, month, day, tzinfo=UTC), "%Y-%m-%d"
        ends_at = begin + timedelta(days=1)
    else:
        begin, key = datetime(year, month, 1, tzinfo=UTC), "%Y-%m"
        ends_at = (begin + timedelta(days=31)).replace(day=1)
    return Span(f"{begin:{key}}", ends_at, ends_at + (ends_at - begin))
