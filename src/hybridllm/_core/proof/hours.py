"""Points in time that tell windows of hours apart: some in each stretch in which nothing opens or closes.

A week is enough where clocks stand still. Where they are put forward and back, one week is looked at for
each way in which the zones of the windows stand to each other within a year.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta, tzinfo

from hybridllm._core.policy.conditions import Hours

# Any year will do: what is wanted are all the offsets that zones have to each other in the course of one.
_BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)  # a Monday
_DAYS = 365
_DAYS_LOOKED_AT = range(-1, 8)  # a week, and the days that touch it elsewhere


def instants_for(windows: Collection[Hours]) -> tuple[datetime, ...]:
    """Return points in time, in UTC, among which every combination of open windows is met."""
    edges = {
        (window.zone, minute)
        for window in windows
        for minute in (window.from_minute, window.to_minute)
    }
    found = {_BEGIN: None}
    for monday in _weeks({window.zone for window in windows}):
        for day in _DAYS_LOOKED_AT:
            date = monday + timedelta(days=day)
            for zone, minute in edges:
                found[_instant(date, minute, zone)] = None
    return tuple(sorted(found))


def _weeks(zones: Collection[tzinfo]) -> list[datetime]:
    """Return a day from which on, for a week if there is one, the zones keep each combination of offsets."""
    zones = sorted(zones, key=str)
    runs: dict[tuple[timedelta | None, ...], tuple[int, datetime]] = {}
    before: tuple[timedelta | None, ...] | None = None
    length, first = 0, _BEGIN
    for day in range(_DAYS):
        noon = _BEGIN + timedelta(days=day)
        offsets = tuple([noon.astimezone(zone).utcoffset() for zone in zones])
        if offsets != before:
            before, length, first = offsets, 0, noon
        length += 1
        if length > runs.get(offsets, (0, noon))[0]:
            runs[offsets] = (length, first)
    return [first + timedelta(days=1) for _, first in runs.values()]


def _instant(date: datetime, minute: int, zone: tzinfo) -> datetime:
    """Return when clocks of a zone show a minute of a day; the 1440th is the next day's first."""
    day = datetime(date.year, date.month, date.day, tzinfo=zone) + timedelta(minutes=minute)
    return day.astimezone(UTC)
