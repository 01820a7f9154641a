"""Which acts the demo has."""

from __future__ import annotations

from enum import StrEnum


class Acts(StrEnum):
    """Which acts are played."""

    FIRST = "1"
    SECOND = "2"
    ALL = "all"
