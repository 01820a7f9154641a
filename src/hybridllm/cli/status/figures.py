"""Figures short enough for a column; what is not known is a dash."""

from __future__ import annotations

from decimal import Decimal

from hybridllm.cli.output import usd

NOT_KNOWN = "-"

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "K"))


def count(value: float | None) -> str:
    """Show how many: `12`, `4,210`, `21.3K`, `500M`."""
    if value is None:
        return NOT_KNOWN
    for size, letter in _STEPS:
        if abs(value) >= size:
            return f"{value / (1_000 if letter == 'K' else size):,.3g}{letter}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def whole(value: float | None) -> str:
    """Show how many there are, of what may be an estimate."""
    return count(None if value is None else float(round(value)))


def rate(value: float | None) -> str:
    """Show how many a second: one decimal below a hundred."""
    if value is None:
        return NOT_KNOWN
    return f"{value:.1f}" if 0 < abs(value) < 100 else count(value)


def percent(share: float | None) -> str:
    """Show a share."""
    return NOT_KNOWN if share is None else f"{share:.0%}".replace("%", " %")


def money(amount: Decimal | None, *, at_least: bool = False) -> str:
    """Show an amount in USD; `at_least`: there may be more."""
    if amount is None:
        return NOT_KNOWN
    if abs(amount) >= 100_000:
        return f"{'≥' if at_least else ''}${count(float(amount))}"
    return f"{'≥' if at_least else ''}{usd(amount)}"


def spell(seconds: float | None) -> str:
    """Show a duration to people: `12 s`, `4 min`, `3 h 12 min`, `12 d 3 h`."""
    if seconds is None or seconds < 0:
        return NOT_KNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    whole = int(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def wait(seconds: float | None) -> str:
    """Show how long something will take: milliseconds below a second."""
    if seconds is None or seconds < 0:
        return NOT_KNOWN
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else spell(seconds)
