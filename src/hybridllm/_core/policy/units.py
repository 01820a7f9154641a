"""Sizes, times and money as a person writes them.

Every function takes what a YAML scalar holds and returns the number, or raises `ValueError` with a
predicate that fits behind the value: `is not a duration; write ...`.
"""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,12})?)"
_TOKENS = re.compile(_NUMBER + r"\s?([KM]?)\Z", re.IGNORECASE)
_COUNT = re.compile(_NUMBER + r"\s?([KMB]?)\Z", re.IGNORECASE)
_DURATION = re.compile(_NUMBER + r"\s?(ms|s|m|h|d)\Z")
_MONEY = re.compile(r"\$?\s?" + _NUMBER + r"\Z")
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
