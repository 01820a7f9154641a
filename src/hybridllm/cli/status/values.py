"""Reads documents of other processes: they may be older, newer, or anybody's. What does not fit is None."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Row = Mapping[str, Any]

ROWS_MAX = 64
"""So many rows of a kind are read; a policy of people has fewer."""
TEXT_MAX = 200
_DIGITS_MIN, _DIGITS_MAX = -24, 15  # of an amount in USD that may be one


def number(row: Row, name: str) -> float | None:
    """Return a finite number."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(row: Row, name: str) -> int | None:
    """Return a number that counts something."""
    found = number(row, name)
    return None if found is None else int(found)


def money(row: Row, name: str) -> Decimal | None:
    """Return an amount in USD that is told as a text or as a number."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        told = str(value)
        found = Decimal(told) if len(told) <= TEXT_MAX else None
    except (InvalidOperation, ValueError):
        return None
    if found is None or not found.is_finite():
        return None
    return found if not found or _DIGITS_MIN <= found.adjusted() <= _DIGITS_MAX else None


def text(row: Row, name: str) -> str:
    """Return a text in one line; empty: there is none."""
    value = row.get(name)
    return " ".join(value.split())[:TEXT_MAX] if isinstance(value, str) else ""


def texts(row: Row, name: str) -> list[str]:
    """Return a list of texts, each in one line."""
    values = row.get(name)
    if not isinstance(values, list):
        return []
    return [" ".join(one.split())[:TEXT_MAX] for one in values[:ROWS_MAX] if isinstance(one, str)]


def moment(row: Row, name: str) -> datetime | None:
    """Return a time, UTC."""
    try:
        found = datetime.fromisoformat(text(row, name))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def rows(told: Row, name: str) -> Iterator[Row]:
    """Yield the rows of a kind."""
    found = told.get(name)
    if isinstance(found, list):
        yield from (row for row in found[:ROWS_MAX] if isinstance(row, dict))


def by_name(told: Row, name: str, key: str) -> dict[str, Row]:
    """Return the rows of a kind by the name that each has."""
    return {found: row for row in rows(told, name) if (found := text(row, key))}
