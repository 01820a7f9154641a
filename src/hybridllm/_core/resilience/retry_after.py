"""Reads how long a backend asks us to stay away, without believing everything it says.

A header is text from outside: `-5`, `NaN`, `1e309`, five thousand digits and dates in the past have
all been seen. What is not a finite, positive time is no time at all. The wall clock is needed for
dates only, and comes in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

RETRY_AFTER_MAX_S = 60.0
"""A longer wish is taken for a quota: the backend is left alone this long, and nobody waits for it."""

_SPREAD = 0.1  # so that a fleet that was sent away together does not come back together
_HEADER_MAX = 64  # longer than any HTTP-date
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")


def retry_after_s(headers: Mapping[str, str], *, now_utc: datetime) -> float | None:
    """Return the seconds that `retry-after-ms` or `retry-after` asks for, as they were asked for.

    The value is finite and over 0, but may lie far over `RETRY_AFTER_MAX_S`: compare it, then make a
    usable time of it with `gate_s`. Never sleep for it.

    Args:
        headers: Of the answer; names may be in any case.
        now_utc: Aware; for the HTTP-date form.

    Returns:
        None if there is no such header, or none that can be used.
    """
    milliseconds = _number(header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    value = header(headers, "retry-after")
    seconds = _number(value)
    return _until(value, now_utc) if seconds is None else seconds


def gate_s(seconds: float, *, jitter: float) -> float:
    """Return how long to stay away when `seconds` were asked for: up to 10 % longer, at most the cap."""
    return min(seconds, RETRY_AFTER_MAX_S / (1.0 + _SPREAD)) * (1.0 + _SPREAD * jitter)


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header field by its lower-case name, whatever case a plain mapping has it in."""
    value = headers.get(name)
    if value is not None:
        return value
    return next((text for key, text in headers.items() if key.lower() == name), None)


def _number(value: str | None) -> float | None:
    """Return a plain decimal over 0; no sign, exponent, `NaN` or `inf` is one."""
    if value is None or len(value) > _HEADER_MAX or not _NUMBER.fullmatch(value.strip()):
        return None
    return float(value) or None


def _until(value: str | None, now_utc: datetime) -> float | None:
    """Return the seconds until an HTTP-date, if it is one and lies ahead."""
    if value is None or len(value) > _HEADER_MAX:
        return None
    from email.utils import parsedate_to_datetime  # slow to import, and hardly ever needed

    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now_utc).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if seconds > 0 else None
