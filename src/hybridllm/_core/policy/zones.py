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
    begin, city = name[:2].casefold(), name.rpartition("/")[2][:3].casefold()
    return [zone for zone, low, its in _zones() if low == begin or its == city]


@cache
def _zones() -> tuple[tuple[str, str, str], ...]:
    """Every zone, with the begin of its name and of its city."""
    zones = sorted(available_timezones())
    return tuple(
        (zone, zone[:2].casefold(), zone.rpartition("/")[2][:3].casefold()) for zone in zones
    )
