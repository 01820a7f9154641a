"""Names of time zones, as this machine knows them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones


def zone_of(name: str) -> tzinfo | None:
    """Return a time zone by its name; None: there is none.

    Machines without any data about zones know UTC all the same.
    """
    if name == "UTC":
        return UTC
    # Of a name that is no zone: a folder, a path, nothing of that name, no data about zones at all.
    with suppress(ValueError, OSError, KeyError):
        return ZoneInfo(name)
    return None


def zones_like(name: str) -> list[str]:
    """Return the zones that begin as a name does, or whose city does; comparing all takes too long."""
    begins, cities = _zones()
    begin, city = _begins(name)
    return sorted({*begins.get(begin, ()), *cities.get(city, ())})


@cache
def _zones() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return every zone by the begin of its name, and by the begin of its city."""
    begins: dict[str, list[str]] = {}
    cities: dict[str, list[str]] = {}
    for zone in available_timezones():
        begin, city = _begins(zone)
        begins.setdefault(begin, []).append(zone)
        cities.setdefault(city, []).append(zone)
    return begins, cities


def _begins(name: str) -> tuple[str, str]:
    return name[:2].casefold(), name.rpartition("/")[2][:3].casefold()
