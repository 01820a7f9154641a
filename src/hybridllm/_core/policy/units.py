"""Sizes, times and money as a person writes them.

Every function takes what a YAML scalar holds and returns the number, or raises `ValueError` with a
predicate that fits behind the value: `is not a duration; write ...`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,12})?)"
# Without ASCII the Kelvin sign, U+212A, would count as a K.
_TOKENS = re.compile(_NUMBER + r" ?([KM]?)\Z", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(_NUMBER + r" ?([KMB]?)\Z", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(_NUMBER + r" ?(ms|s|m|h|d)\Z")
_MONEY = re.compile(r"\$? ?" + _NUMBER + r"\Z")
_CLOCK = re.compile(r"([0-2][0-9]):([0-5][0-9])\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
MINUTES_A_DAY = 1_440
NUMBER_DIGITS_MAX = 40
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TOKEN_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}
_COUNT_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3_600),
    "d": Decimal(86_400),
}


def context_tokens(value: object) -> int | None:
    """Return a context length in tokens: `32K` is 32,768; `auto` and nothing are not known (None)."""
    if value is None or value == "auto":
        return None
    return _whole(
        value, _TOKENS, _TOKEN_UNITS, "a number of tokens; write 32K (32,768), 131072 or auto"
    )


def count(value: object) -> int:
    """Return a count of tokens or requests for rates and volumes: `500M` is 500,000,000."""
    return _whole(value, _COUNT, _COUNT_UNITS, "a count; write 6000, 20K, 2M or 500M")


def seconds(value: object) -> Decimal:
    """Return a duration in seconds; it must carry its unit, because 10 could be ms or s."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a duration with its unit; write 800ms, 10s, 5m, 2h or 30d")
    return Decimal(match[1]) * _SECONDS[match[2]]


def usd(value: object) -> Decimal:
    """Return an amount of USD, exact."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value)
    match = _MONEY.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not an amount of USD; write 0.18")
    return Decimal(match[1])


def retention(value: object) -> str:
    """Return how long data is kept, in one spelling: `none`, or days, hours, minutes or seconds.

    `720h` becomes `30d`, so that equal times have equal names.
    """
    if value == "none":
        return "none"
    try:
        kept_s = seconds(value)
    except ValueError:
        raise ValueError("is not a time that data is kept; write none, 30d or 12h") from None
    if kept_s == 0 or kept_s != int(kept_s):
        raise ValueError("is not a time that data is kept; write none for no time at all")
    for unit in ("d", "h", "m"):
        if kept_s % _SECONDS[unit] == 0:
            return f"{int(kept_s / _SECONDS[unit])}{unit}"
    return f"{int(kept_s)}s"


def clock_minute(value: object) -> int:
    """Return a time of day in minutes from midnight: `08:30` is 510, `24:00` is 1,440."""
    match = _CLOCK.match(value) if isinstance(value, str) else None
    minute = int(match[1]) * 60 + int(match[2]) if match else MINUTES_A_DAY + 1
    if minute > MINUTES_A_DAY:
        raise ValueError('is not a time of day; write "08:30", from "00:00" to "24:00"')
    return minute


def first_minute(value: object) -> int:
    """Return when a window of a day begins, in minutes from midnight: before 24:00."""
    minute = clock_minute(value)
    if minute == MINUTES_A_DAY:
        raise ValueError('is the end of a day, where no window begins; write "00:00"')
    return minute


def weekday_numbers(value: object) -> tuple[int, ...]:
    """Return days as numbers, 0 is Monday: `mon`, `mon-fri`, `[sat, sun]`."""
    days: list[int] = []
    for item in value if isinstance(value, list) else [value]:
        first, dash, last = item.partition("-") if isinstance(item, str) else ("", "", "")
        if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
            what = (
                f"holds {str(item)[:20]!r}, which is not" if isinstance(value, list) else "is not"
            )
            raise ValueError(f"{what} a weekday; write {', '.join(WEEKDAYS)}, or mon-fri")
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
        days += [day % 7 for day in range(start, end + 1 + (7 if end < start else 0))]
    if not days:
        raise ValueError("must not be empty; leave it out for every day")
    return tuple(dict.fromkeys(days))


def instant(value: object) -> datetime:
    """Return a point in time in UTC; it must carry its zone, because 09:00 is not one time."""
    try:
        given = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise ValueError("is not a time with its zone; write 2026-12-01T09:00Z")
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def first_moment(value: object) -> datetime:
    """Return the moment from which on something holds: a day begins at 00:00 UTC."""
    if isinstance(value, str) and _DAY.match(value):
        value = f"{value}T00:00Z"
    try:
        moment = instant(value)
    except ValueError:
        raise ValueError(
            "is neither a day nor a time with its zone; write 2026-11-01 or 2026-11-01T09:00Z"
        ) from None
    if moment.second or moment.microsecond:
        raise ValueError("is not a whole minute; write 2026-11-01T09:00Z")
    return moment


def number_text(value: int | float | Decimal) -> str | None:
    """Return a number as metadata are compared: `1.0` is `1`, `1e3` is `1000`; None: too long, or none."""
    try:
        number = Decimal(str(value))
    except (ValueError, InvalidOperation):  # an integer of thousands of digits
        return None
    if not number.is_finite() or number.adjusted() > NUMBER_DIGITS_MAX or len(str(number)) > 64:
        return None
    text = f"{number.normalize():f}" if number else "0"
    return text if len(text) <= 64 else None


def taint(value: object) -> float | None:
    """Return how long, in seconds, a session keeps a tag: true is for ever, false not at all (None)."""
    if value is True or value == "true":
        return float("inf")
    if value is False or value is None or value == "false":
        return None
    try:
        kept_s = float(seconds(value))
    except ValueError:
        raise ValueError("is neither true, false nor a duration; write 30d") from None
    if kept_s <= 0:
        raise ValueError("is no time at all; write false")
    return kept_s


def _whole(value: object, form: re.Pattern[str], units: dict[str, int], what: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = form.match(value) if isinstance(value, str) else None
    if match is None and not isinstance(value, Decimal):
        raise ValueError(f"is not {what}")
    amount = Decimal(match[1]) * units[match[2].upper()] if match else value
    if not isinstance(amount, Decimal) or amount != int(amount):
        raise ValueError(f"is not a whole number, and not {what}")
    return int(amount)
