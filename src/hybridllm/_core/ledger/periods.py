"""Which time a report is about, from the words that people use for it. UTC throughout.

A time without a zone is UTC; `now_us` comes in. A period is from `since_us` on and before `until_us`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AGO = re.compile(r"(\d{1,6})\s*([hdw])")
_MONTH = re.compile(r"(\d{4})-(\d\d)")
_AGO_UNITS = {"h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_NAMED = ("today", "yesterday", "this week", "last week", "this month", "last month")
FORMS = f"30d, 12h, 2w, 2026-11-01, 2026-11-01T12:00, 2026-11, {', '.join(_NAMED)}"


class Period(NamedTuple):
    """A time: from `since_us` on and before `until_us`."""

    since_us: int
    until_us: int

    def __str__(self) -> str:
        began, ended = (f"{instant(us):%Y-%m-%dT%H:%M}" for us in self)
        return f"{began} to {ended} (UTC)"


def period(since: str | None, until: str | None, *, now_us: int) -> Period:
    """Return the time that is meant.

    Args:
        since: `30d` (ago), a date, an instant, or a period of its own (`2026-11`, `last month`), which ends
            where it ends unless `until` says otherwise. None: from the beginning.
        until: The same; of a period its end. A date is that day's beginning: what is left out. None: now.
        now_us: What `30d` and `last month` are counted from.

    Raises:
        ValueError: If a text is none of `FORMS`, or if nothing lies between the two.
    """
    began_us, ends_us = _meant(since, now_us) if since is not None else (0, None)
    if until is not None:
        at_us, end_us = _meant(until, now_us)
        ends_us = at_us if end_us is None else end_us
    if ends_us is None:
        ends_us = now_us
    if ends_us <= began_us:
        raise ValueError(f"there is no time from {Period(began_us, ends_us)}")
    return Period(began_us, ends_us)


def instant(at_us: int) -> datetime:
    """Return microseconds since the epoch as aware UTC time."""
    return _EPOCH + timedelta(microseconds=at_us)


def microseconds(at: datetime) -> int:
    """Return an aware time as microseconds since the epoch."""
    return (at - _EPOCH) // _MICROSECOND


def day_of(at_us: int) -> date:
    """Return the UTC day of a time."""
    return instant(at_us).date()


def day_began_us(day: date) -> int:
    """Return when a UTC day begins."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def month_of(text: str) -> Period:
    """Return the month `2026-11`.

    Raises:
        ValueError: If it is none.
    """
    found = _MONTH.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12 or int(found[1]) < 1970:
        raise ValueError(f"{text!r} is no month like 2026-11")
    return _month(date(int(found[1]), int(found[2]), 1))


def _meant(text: str, now_us: int) -> tuple[int, int | None]:
    """Where a period begins and ends, or an instant and None."""
    words = " ".join(text.split()).lower()
    if words in _NAMED:
        return _named(words, day_of(now_us))
    if (ago := _AGO.fullmatch(words)) is not None:
        return max(0, now_us - int(ago[1]) * _AGO_UNITS[ago[2]]), None
    if _MONTH.fullmatch(words):
        return month_of(words)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time; one is written {FORMS}") from None
    return microseconds(at if at.tzinfo else at.replace(tzinfo=UTC)), None


def _named(words: str, today: date) -> Period:
    which, _, unit = words.partition(" ")
    if unit == "month":
        first = today.replace(day=1)
        return _month(first if which == "this" else (first - timedelta(days=1)).replace(day=1))
    if unit == "week":
        monday = today - timedelta(days=today.weekday() + (7 if which == "last" else 0))
        return Period(day_began_us(monday), day_began_us(monday + timedelta(days=7)))
    day = today if which == "today" else today - timedelta(days=1)
    return Period(day_began_us(day), day_began_us(day + timedelta(days=1)))


def _month(first: date) -> Period:
    following = (first + timedelta(days=31)).replace(day=1)
    return Period(day_began_us(first), day_began_us(following))
